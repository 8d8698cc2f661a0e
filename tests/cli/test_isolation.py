"""What of an environment holds, and what is left to the programs and files of the caller."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import tracesidecar
from tests.cli.conftest import PROGRAM, Desk
from tracesidecar.isolation import find_program, isolation, python_command


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("PATH", "/usr/bin:/bin", "/usr/bin:/bin"),
        ("PATH", ":/usr/bin::.:./bin:bin:/bin:", "/usr/bin:/bin"),
        ("PATH", ".", None),
        ("LD_LIBRARY_PATH", ":/opt/lib", "/opt/lib"),
        ("AWS_CONFIG_FILE", "aws", None),
        ("AWS_CONFIG_FILE", "~/aws", "/home/me/aws"),
        ("OPENSSL_CONF", "~/o.cnf", "/home/me/o.cnf"),
        ("XDG_CACHE_HOME", "~", "/home/me"),
        ("SSL_CERT_FILE", "~somebody/ca.pem", None),
        ("SSL_CERT_DIR", "~/certs:certs:/etc/certs", "/home/me/certs:/etc/certs"),
        ("PATH", "~/bin:/bin", "/home/me/bin:/bin"),
        ("OPENSSL_CONF_INCLUDE", "inc", None),
        ("SASL_PATH", "sasl:/opt/sasl", "/opt/sasl"),
        ("KRB5CCNAME", "cc", None),
        ("KRB5CCNAME", "FILE:cc", None),
        ("KRB5CCNAME", "DIR:~/cc", "DIR:/home/me/cc"),
        ("KRB5CCNAME", "FILE:/run/cc", "FILE:/run/cc"),
        ("KRB5CCNAME", "KEYRING:persistent:0", "KEYRING:persistent:0"),
        ("KRB5_KTNAME", "WRFILE:keys", None),
        ("KRB5_TRACE", "trace", None),
        ("LDAPCONF", "~/ldap.conf", "/home/me/ldap.conf"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token", None),
        ("PGSSLROOTCERT", "system", "system"),
        ("HOME", "~", None),
        ("HOME", "~/me", None),
        ("AWS_CONFIG_FILE", "/etc/aws", "/etc/aws"),
        ("HOME", ".", None),
        ("SSL_CERT_FILE", "", ""),
        ("SSLKEYLOGFILE", "/root/keys", None),
        ("PYTHONPATH", "/opt/python", None),
        ("MACHINA_TRACE_DIR", "traces", "traces"),
        ("TRACESIDECAR_CONFIG", "own.toml", "own.toml"),
    ],
)
def test_a_variable_holds_if_it_does_not_lead_to_the_current_directory(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, holds: str | None
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv(name, value)
    with isolation() as caller:
        assert os.environ.get(name) == holds
        assert caller.environment[name] == value
    assert os.environ[name] == value


def test_a_home_that_is_no_place_makes_no_place_of_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    for home in ("here", "~", ""):
        monkeypatch.setenv("HOME", home)
        monkeypatch.setenv("OPENSSL_CONF", "~/o.cnf")
        with isolation() as caller:
            assert "OPENSSL_CONF" not in os.environ
            assert "OPENSSL_CONF" in caller.ignored


def test_what_is_only_written_in_another_way_is_not_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("AWS_CONFIG_FILE", "~/aws")
    monkeypatch.setenv("SSL_CERT_DIR", "~/certs")
    with isolation() as caller:
        assert not {"AWS_CONFIG_FILE", "SSL_CERT_DIR"} & {*caller.ignored}
    monkeypatch.setenv("SSL_CERT_DIR", "~/certs:certs")
    with isolation() as caller:
        assert "SSL_CERT_DIR" in caller.ignored


def test_a_tilde_that_nobody_expands_leads_to_no_planted_file(desk: Desk, tmp_path: Path) -> None:
    """OpenSSL opens `./~/openssl.cnf`, which may name a library to load."""
    place = tmp_path / "planted"
    (place / "~").mkdir(parents=True)
    os.mkfifo(place / "~" / "openssl.cnf")  # who opens it to read waits for a writer for ever
    done = subprocess.run(
        [PROGRAM, "scan", "."],
        env={**desk.environment(), "OPENSSL_CONF": "~/openssl.cnf"},
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_modules_are_not_searched_for_in_the_current_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "lib:/opt/python:")
    theirs = ["", "lib", str(tmp_path / "lib"), str(tmp_path)]
    monkeypatch.setattr(sys, "path", [*theirs, "/opt/python", *sys.path])
    monkeypatch.setattr(sys, "pycache_prefix", "pyc")
    with isolation() as caller:
        assert not {*theirs} & {*sys.path}
        assert "/opt/python" in sys.path
        assert sys.pycache_prefix is None
        assert caller.ignored == ("PYTHONPATH",)


def test_the_process_that_compiles_gets_nothing_of_where_it_was_started(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(
        "import json, os, sys\n"
        "def main(): print(json.dumps([os.getcwd(), dict(os.environ), sys.flags.isolated]))\n"
    )
    probe = type(tracesidecar)("probe")
    probe.__file__ = str(tmp_path / "probe.py")
    command = python_command("probe", (tracesidecar, probe))
    done = subprocess.run(command, cwd="/", env={}, capture_output=True, check=True)
    where, environment, is_isolated = json.loads(done.stdout)
    assert (where, is_isolated) == ("/", 1)
    assert {*environment} <= {"LC_CTYPE"}, "Python sets it for itself (PEP 538)"


def test_a_program_is_found_by_the_absolute_directories_of_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, mode in (("here", 0o755), ("there", 0o755), ("dead", 0o644)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "agent").write_text("#!/bin/sh\n")
        (tmp_path / folder / "agent").chmod(mode)
    there, dead = tmp_path / "there", tmp_path / "dead"
    assert find_program("agent", f":here:{dead}:{there}") == str(there / "agent")
    assert find_program("agent", f"here:{dead}") == str(dead / "agent"), "exec says why it cannot"
    assert find_program("agent", "here:.:") is None
    assert find_program("here/agent", "/nowhere") == str(tmp_path / "here" / "agent")


def test_what_is_the_callers_follows_the_umask_of_the_caller(desk: Desk) -> None:
    for words in (
        ("init",),
        ("demo", "--seconds", "0.01", "traces"),
        ("ddl", "duckdb", "--apply", "own.duckdb"),
    ):
        subprocess.run(
            [PROGRAM, *words],
            env=desk.environment(),
            cwd=desk.folder,
            umask=0o027,
            capture_output=True,
            check=words[0] != "ddl",  # it makes the file, and then misses a lake
            timeout=600,
        )
    [trace] = (desk.folder / "traces").iterdir()
    made = (desk.folder / "tracesidecar.toml", desk.folder / "own.duckdb", trace)
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in made} == {
        path.name: "0o640" for path in made
    }
    assert stat.S_IMODE(trace.parent.stat().st_mode) == 0o750
