"""A login page before every destination: nothing counts as delivered, and all arrives after it."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.daemon.sidecar import Sidecar
from tests.servers.processes import wait_until

PAGE = b"<!DOCTYPE html><html><head><title>Log on</title></head><body>Who are you?</body></html>"
LINES = [f'{{"n":{number},"text":"a line"}}' for number in range(50)]
SINKS = """
[[sink]]
name = "http"
type = "http"
url = "{url}/http"
probe = false
{batch}
[[sink]]
name = "splunk"
type = "splunk"
url = "{url}/splunk"
token = "correct-horse-battery"
format = "raw"
{batch}
[[sink]]
name = "loki"
type = "loki"
url = "{url}/loki"
format = "raw"
{batch}
[[sink]]
name = "otlp"
type = "otlp"
url = "{url}/otlp"
content = "full"
{batch}
[[sink]]
name = "datadog"
type = "datadog"
url = "{url}/datadog"
api_key = "correct-horse-battery"
content = "full"
{batch}
[[sink]]
name = "elasticsearch"
type = "elasticsearch"
url = "{url}/elasticsearch"
check_template = false
format = "raw"
{batch}
"""
NAMES = ("http", "splunk", "loki", "otlp", "datadog", "elasticsearch")


class Portal(ThreadingHTTPServer):
    """Answers every request with a login page, until somebody has logged on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.is_logged_on = False
        self.pages = 0
        self.stored: dict[str, set[int]] = {name: set() for name in NAMES}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Portal

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        name = self.path.split("/")[1]
        if not self.server.is_logged_on:
            self.server.pages += 1
            self._answer(200, "text/html; charset=utf-8", PAGE)
        elif self.path.endswith("_has_privileges"):
            self._answer(405, "application/json", b"{}")
        else:
            plain = body.decode().replace("\\", "")
            self.server.stored[name] |= {n for n in range(len(LINES)) if f'"n":{n},' in plain}
            self._answer(*self._yes(name, plain))

    def _yes(self, name: str, plain: str) -> tuple[int, str, bytes]:
        items = {"items": [{"create": {"status": 201}}] * plain.count('{"create":')}
        return {
            "http": (200, "text/plain", b"thanks"),
            "splunk": (200, "application/json", b'{"text":"Success","code":0}'),
            "loki": (204, "", b""),
            "otlp": (200, "application/json", b"{}"),
            "datadog": (202, "application/json", b"{}"),
            "elasticsearch": (200, "application/json", json.dumps(items).encode()),
        }[name]

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    sidecar = Sidecar(tmp_path)
    yield sidecar
    sidecar.kill()


def test_a_login_page_is_not_delivered_for_any_destination(
    sidecar: Sidecar, portal: Portal
) -> None:
    url = f"http://127.0.0.1:{portal.server_port}"
    sidecar.configure(
        SINKS.format(url=url, batch='batch = { age = "300ms", idle = "100ms" }'),
        daemon='drain_deadline = "2s"',
    )
    (sidecar.traces / "a.jsonl").write_text("".join(f"{line}\n" for line in LINES))
    sidecar.start()
    wait_until(lambda: len(find_retry_reasons(sidecar)) == len(NAMES))
    assert set(find_retry_reasons(sidecar).values()) == {"answer"}
    status = json.loads(sidecar.ask("status", "--json").stdout)
    assert {sink["name"]: sink["delivered_lines"] for sink in status["sinks"]} == dict.fromkeys(
        NAMES, 0
    )
    portal.is_logged_on = True
    wait_until(lambda: all(len(stored) == len(LINES) for stored in portal.stored.values()))
    assert sidecar.stop() == 0
    log = sidecar.log.read_text()
    assert "text/html" in log
    assert "Log on" in log
    assert "correct-horse-battery" not in log


def find_retry_reasons(sidecar: Sidecar) -> dict[object, object]:
    """The reason of each sink's newest retry."""
    return {
        event["sink"]: event["reason"]
        for event in sidecar.events()
        if event["event"] == "sink.retry"
    }
