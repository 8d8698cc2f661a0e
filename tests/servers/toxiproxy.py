"""A fault proxy between a sink and its server: Toxiproxy, over its HTTP interface."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from tests.servers.processes import Server, free_port, require

Direction = Literal["upstream", "downstream"]


class Toxiproxy:
    """One running Toxiproxy."""

    def __init__(self, port: int) -> None:
        self._port = port

    @contextmanager
    def before(self, port: int) -> Iterator[FaultyWay]:
        """Put a proxy in front of a server's port."""
        name = f"before-{port}"
        made = self.call(
            "POST",
            "/proxies",
            {
                "name": name,
                "listen": "127.0.0.1:0",
                "upstream": f"127.0.0.1:{port}",
                "enabled": True,
            },
        )
        try:
            yield FaultyWay(self, name, int(made["listen"].rsplit(":", 1)[1]))
        finally:
            self.call("DELETE", f"/proxies/{name}")

    def call(self, method: str, path: str, body: object = None) -> dict[str, str]:
        """Make one request to its interface."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            data,
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=600) as response:
            text = response.read()
        return json.loads(text) if text else {}


class FaultyWay:
    """A proxied connection to a server: connect to `port`."""

    def __init__(self, proxy: Toxiproxy, name: str, port: int) -> None:
        self.port = port
        self._proxy = proxy
        self._path = f"/proxies/{name}"

    @contextmanager
    def fault(self, kind: str, direction: Direction, **attributes: int) -> Iterator[None]:
        """Inject a fault for a while; the kinds are Toxiproxy's toxics."""
        toxic = {"name": "fault", "type": kind, "stream": direction, "attributes": attributes}
        self._proxy.call("POST", f"{self._path}/toxics", toxic)
        try:
            yield
        finally:
            self._proxy.call("DELETE", f"{self._path}/toxics/fault")

    @contextmanager
    def down(self) -> Iterator[None]:
        """Reject connections for a while."""
        self._proxy.call("POST", self._path, {"enabled": False})
        try:
            yield
        finally:
            self._proxy.call("POST", self._path, {"enabled": True})


@pytest.fixture(scope="session")
def toxiproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toxiproxy]:
    """Run one fault proxy for all tests."""
    port = free_port()
    log = tmp_path_factory.mktemp("toxiproxy") / "log"
    server = Server([require("toxiproxy"), "-host", "127.0.0.1", "-port", str(port)], port, log)
    server.start()
    yield Toxiproxy(port)
    server.stop()
