"""A real PostgreSQL on a local port, with passwords, and with TLS if it has a certificate."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.servers.processes import free_port, require

SETTINGS = {
    "fsync": "off",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "max_connections": "20",
    "listen_addresses": "127.0.0.1",
}


def find_packaged() -> Path | None:
    """Return the folder of the programs in the package pgserver, which have no TLS; None where it
    has no build (Python 3.13, other processors).
    """
    try:
        import pgserver
    except ImportError:
        return None
    return Path(pgserver.__file__).parent / "pginstall" / "bin"


class PostgresServer:
    """A server on a folder of its own; it keeps its data and its port when it is restarted.

    PostgreSQL does not run as root: there `nobody` runs it. With a certificate it speaks TLS, and
    requires clients to have a certificate of `client_ca`.
    """

    def __init__(self, certificate: Path | None = None, client_ca: Path | None = None) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        programs = find_packaged() if certificate is None else None
        self._programs = programs or self._unpack(require("postgresql"))
        self._data = self._folder / "data"
        self._run(
            "initdb",
            "-D",
            self._data,
            "-U",
            "postgres",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--no-sync",
        )
        self._settings = {
            **SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
        }
        if certificate is not None and client_ca is not None:
            self._settings |= {"ssl": "on", "ssl_ca_file": str(self._own(client_ca))}
            self._settings |= dict.fromkeys(
                ("ssl_cert_file", "ssl_key_file"), str(self._own(certificate))
            )
            (self._data / "pg_hba.conf").write_text(
                "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256 "
                "clientcert=verify-ca\n"
            )

    def present(self, certificate: Path) -> None:
        """Use this certificate from now on; its file has the name of the first one."""
        self._own(certificate)
        self.run("SELECT pg_reload_conf()")

    @property
    def is_running(self) -> bool:
        """Return whether it was started and has not been stopped."""
        return (self._data / "postmaster.pid").exists()

    def start(self) -> None:
        """Start it and return when it accepts connections."""
        settings = " ".join(f"-c {name}='{value}'" for name, value in self._settings.items())
        self._run(
            "pg_ctl", "-D", self._data, "-w", "-l", self._folder / "log", "-o", settings, "start"
        )

    def stop(self) -> None:
        """Stop it at once, and break its sessions."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "fast", "stop")

    def destroy(self) -> None:
        """Stop it and remove its data."""
        if self.is_running:
            self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(self._folder)

    @property
    def url(self) -> str:
        """The superuser's address, over the Unix socket."""
        return f"postgresql://postgres@/postgres?host={self._folder}&port={self.port}"

    def connect(self) -> psycopg.Connection[Any]:
        """Connect as the superuser, over the Unix socket."""
        return psycopg.connect(self.url, autocommit=True)

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser."""
        with self.connect() as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _read_log(self) -> str:
        log = self._folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def _unpack(self, binary: Path) -> Path:
        """Copy Debian's programs out of somebody's home, so that any user can run them."""
        root, place = binary.parents[5], binary.relative_to(binary.parents[5])
        shutil.copytree(
            root,
            self._folder / "programs",
            symlinks=True,
            ignore=shutil.ignore_patterns("doc", "locale", "bitcode", "llvmjit*"),
        )
        return (self._folder / "programs" / place).parent

    def _own(self, file: Path) -> Path:
        copy = self._folder / file.name
        shutil.copyfile(file, copy)
        copy.chmod(0o600)
        if self._user is not None:
            os.chown(copy, pwd.getpwnam(self._user).pw_uid, -1)
        return copy

    def _run(self, program: str, *words: str | Path) -> None:
        command = [str(self._programs / program), *map(str, words)]
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": f"{self._folder}/programs/usr/lib/{platform.machine()}-linux-gnu",
        }
        done = subprocess.run(
            command,
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr.decode()} {self._read_log()}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run one PostgreSQL for all tests; each test makes its own schema."""
    server = PostgresServer()
    server.start()
    yield server
    server.destroy()


@pytest.fixture(scope="session")
def postgres(postgres_server: PostgresServer) -> str:
    """Return the address of an empty database."""
    return postgres_server.url
