"""Requests through the proxy of the environment: a tunnel for https, with the proxy's own
credentials, and TLS with the server itself.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from tests.contract.batches import batch_of, lines_of
from tests.servers.processes import free_port
from tests.servers.receiving import ReceivingServer
from tracesidecar.errors import RetryLater
from tracesidecar.sinks import http
from tracesidecar.sinks.http.options import Options
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds


@dataclass
class Tunnel:
    """A proxy that opens tunnels (RFC 9110, 9.3.6) for clients with credentials, and records the
    requests.
    """

    authorization: str
    request_lines: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.request_lines.append(request.split("\r\n")[0])
        if f"proxy-authorization: {self.authorization}".lower() not in request.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        host, port = request.split()[1].split(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_copy(reader, up_writer))
            tasks.create_task(_copy(up_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()


def options_for(url: str, ca_file: Path) -> Options:
    return Options(
        name="web",
        type="http",
        url=url,
        tls=TlsOptions(ca_file=str(ca_file)),
        timeout=Seconds(60),
        connect_timeout=Seconds(60),
    )


async def test_tls_goes_through_a_tunnel_with_the_proxys_own_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "server.pem").write_bytes(
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
    )
    receiver = ReceivingServer(tmp_path, certificate=tmp_path / "server.pem")
    receiver.server.start()
    tunnel = Tunnel("Basic " + base64.b64encode(b"me:hunter2").decode())
    monkeypatch.delenv("no_proxy", raising=False)
    try:
        async with tunnel.open() as port:
            monkeypatch.setenv("https_proxy", f"http://me:hunter2@127.0.0.1:{port}")
            async with http.build(options_for(receiver.url, tmp_path / "ca.pem")) as sink:
                await sink.send(batch_of(lines_of(3)))
            monkeypatch.setenv("https_proxy", f"http://me:wrong@127.0.0.1:{port}")
            with pytest.raises(
                RetryLater,
                match=r"proxy: the proxy in front of https://127\.0\.0\.1:\d+ answered 407",
            ) as caught:
                await http.build(options_for(receiver.url, tmp_path / "ca.pem")).__aenter__()
        assert receiver.read_kept_lines() == lines_of(3)
    finally:
        receiver.server.stop()
    assert set(tunnel.request_lines) == {f"CONNECT 127.0.0.1:{receiver.port} HTTP/1.1"}
    assert "wrong" not in str(caught.value)
    assert all("Proxy-Authorization" not in request.headers for request in receiver.requests())


async def test_an_unreachable_proxy_is_reported_without_its_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    monkeypatch.delenv("no_proxy", raising=False)
    options = Options(name="web", type="http", url="http://far.invalid/", timeout=Seconds(60))
    for proxy, message in (
        (f"http://me:hunter2@127.0.0.1:{port}", "in front of http://far.invalid cannot be reached"),
        ("http://me:hunter2@[::1", "that the environment names for http://far.invalid does not"),
        ("me:hunter2@proxy:3128", "that the environment names for http://far.invalid does not"),
    ):
        monkeypatch.setenv("http_proxy", proxy)
        with (
            capture_logs() as logs,
            pytest.raises(RetryLater, match=f"proxy: the proxy {re.escape(message)}") as caught,
        ):
            await http.build(options).__aenter__()
        announced = [entry for entry in logs if entry["event"] == "sink.proxy"]
        assert [entry["proxy"] for entry in announced] == (
            [f"127.0.0.1:{port}"] if "reached" in message else []
        )
        assert "hunter2" not in f"{caught.value} {logs}"
