"""What clients take from the environment does not lead their credentials elsewhere."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.config.conftest import Folder
from tracesidecar.cli import main
from tracesidecar.introspect.connectivity import ConnectionCheck, check_connections

SOURCE = '[[source]]\nname = "agent"\ninclude = ["traces/*.jsonl"]\n'
NO_TLS = b"N"  # PostgreSQL's answer to a request for TLS


class Listener:
    """A server that answers every connection with a few bytes, and keeps what it was sent."""

    def __init__(self, host: str, answer: bytes) -> None:
        self.received: list[bytes] = []
        self._answer = answer
        self._socket = socket.create_server((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed: the test is over
            while True:
                connection, _ = self._socket.accept()
                connection.settimeout(60)
                with connection, suppress(OSError):
                    while data := connection.recv(65536):
                        self.received.append(data)
                        connection.sendall(self._answer)

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextmanager
def listening(host: str = "127.0.0.1", answer: bytes = NO_TLS) -> Iterator[Listener]:
    """Run a server for the time of a test."""
    listener = Listener(host, answer)
    try:
        yield listener
    finally:
        listener.close()


def connect(folder: Folder, sink: str) -> ConnectionCheck:
    """Connect a sink once."""
    (options,) = folder.load(f'{SOURCE}[[sink]]\nname = "it"\n{sink}').configuration.sink
    (check,) = asyncio.run(check_connections([options]))
    return check


def test_the_environment_does_not_move_a_database(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL without a host is a Unix socket, also where PGHOST names a server."""
    with listening() as server:
        for name, value in (("PGHOST", "127.0.0.1"), ("PGHOSTADDR", "127.0.0.1")):
            monkeypatch.setenv(name, value)
        sink = f'type = "sql"\nurl = "postgresql://u:hunter2@:{server.port}/db"\n'
        assert not connect(folder, sink).is_good
        sink = f'type = "sql"\nurl = "postgresql://u:hunter2@nobody.invalid:{server.port}/db"\n'
        assert not connect(folder, sink).is_good
    assert server.received == []


@pytest.mark.parametrize(
    ("kind", "variable"), [("s3", "AWS_ENDPOINT_URL"), ("gcs", "STORAGE_EMULATOR_HOST")]
)
def test_an_error_of_a_store_names_the_variable_that_names_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, kind: str, variable: str
) -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    own = 'access_key = "k"\nsecret_key = "s"\n' if kind == "s3" else ""
    with listening(answer=answer) as server:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nobody/has/this.json")
        check = connect(folder, f'type = "{kind}"\nbucket = "traces"\n{own}')
    assert f"bucket traces at the address in {variable}" in check.detail


def test_an_endpoint_in_a_settings_file_gets_no_signature_in_clear_text(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = folder.path / "aws"
    settings.write_text("[default]\nendpoint_url = http://collector.example\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(settings))
    sink = 'type = "s3"\nbucket = "traces"\naccess_key = "k"\nsecret_key = "s"\n'
    check = connect(folder, sink)
    assert not check.is_good
    assert "nothing was sent, because endpoint_url in the AWS configuration file" in check.detail


@pytest.mark.parametrize(
    ("engine", "where", "code", "said"),
    [
        ("elasticsearch", "http://elastic:hunter2@collector.example:9", 78, "a public address"),
        ("elasticsearch", "http://elastic:hunter2@nobody.invalid:9", 78, "a public address"),
        ("elasticsearch", "http://elastic:hunter2@[::1", 78, "needs the address"),
        ("elasticsearch", "http://elastic:hunter2@nobody:9", 78, "the next release rejects"),
        ("postgres", "postgresql://u:hunter2@db.example/x?sslmode=disable", 78, "a public address"),
        ("postgres", "postgresql://u:hunter2@db.example/x?sslmode=prefer", 78, "a public address"),
        ("postgres", "host=db.example user=u password=hunter2 sslmode=allow", 78, "a public addr"),
        ("postgres", "postgresql://u:hunter2@nobody.invalid/x", 78, "cannot be reached"),
        ("postgres", "postgresql://u:hunter2@[x/x", 78, "needs the address of the database"),
    ],
)
def test_credentials_of_ddl_are_judged_like_those_of_a_sink(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    engine: str,
    where: str,
    code: int,
    said: str,
) -> None:
    configuration = tmp_path / "tracesidecar.toml"
    configuration.write_text(
        f'{SOURCE}[[sink]]\nname = "lake"\ntype = "directory"\npath = "lake"\nformat = "event"\n'
    )
    words = ["ddl", engine, "--config", str(configuration), "--apply", where]
    assert main(words) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "hunter2" not in shown


def test_ddl_sends_credentials_in_clear_text_where_that_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy that the environment names, as a name of no server cannot be reached."""
    configuration = tmp_path / "tracesidecar.toml"
    configuration.write_text(f'{SOURCE}[[sink]]\nname = "o"\ntype = "stdout"\n')
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    where = "http://elastic:hunter2@collector.example:9200"
    words = ["ddl", "elasticsearch", "--config", str(configuration), "--apply", where]
    with listening(answer=answer) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
        assert main(words) == 78
        assert "a public address" in capsys.readouterr().err
        assert server.received == []
        assert main([*words, "--insecure"]) == 78
    assert "answered 403" in capsys.readouterr().err
    assert b"authorization: basic" in b"".join(server.received).lower()


def test_ddl_sends_a_database_elsewhere_no_password_without_tls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Libpq asks for TLS, and goes on without it, unless it is told more than a URL."""
    configuration = tmp_path / "tracesidecar.toml"
    configuration.write_text(f'{SOURCE}[[sink]]\nname = "o"\ntype = "stdout"\n')
    with listening("127.0.0.2") as server:
        where = f"postgresql://someone:hunter2@127.0.0.2:{server.port}/x"
        assert main(["ddl", "postgres", "--config", str(configuration), "--apply", where]) == 78
    assert "certificate that is not trusted" in capsys.readouterr().err
    assert server.received, "it was asked for TLS"
    assert b"someone" not in b"".join(server.received)
