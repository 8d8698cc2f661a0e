"""Which certificates are accepted over TLS: an unknown CA, a wrong host and an expired certificate
are not; a client certificate may change on disk.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.contract.batches import batch_of, lines_of
from tests.servers.azurite import Azurite, key_of
from tests.servers.google_storage import GoogleStorage
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore
from tracesidecar.errors import RetryLater
from tracesidecar.sinks import http
from tracesidecar.sinks.object_store.azure import sink as azure
from tracesidecar.sinks.object_store.gcs import sink as gcs
from tracesidecar.sinks.object_store.s3 import sink as s3
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.transport.tls import ClientContext, TlsOptions
from tracesidecar.units import Seconds, Secret


class Receiving:
    @contextmanager
    def running(self, folder: Path, certificate: Path) -> Iterator[int]:
        receiver = ReceivingServer(folder, certificate=certificate)
        receiver.server.start()
        yield receiver.port
        receiver.server.stop()

    def sink(self, port: int, options: TlsOptions) -> Sink:
        return http.build(
            http.Options(
                name="web",
                type="http",
                url=f"https://127.0.0.1:{port}/",
                tls=options,
                timeout=Seconds(60),
            )
        )


class Storing:
    @contextmanager
    def running(self, folder: Path, certificate: Path) -> Iterator[int]:
        store = ObjectStore(folder / "store", certificate=certificate)
        store.start()
        yield store.port
        store.stop()

    def sink(self, port: int, options: TlsOptions) -> Sink:
        url = f"https://127.0.0.1:{port}"
        return s3.build(
            s3.Options(
                name="lake",
                type="s3",
                bucket=BUCKET,
                endpoint_url=url,
                path_style=True,
                tls=options,
                timeout=Seconds(60),
                access_key=Secret(ACCESS_KEY),
                secret_key=Secret(SECRET),
            )
        )


class StoringAtGoogle:
    @contextmanager
    def running(self, folder: Path, certificate: Path) -> Iterator[int]:
        store = GoogleStorage(folder / "google", certificate=certificate)
        store.start()
        (folder / "key.json").write_text(store.key_file(SECRET))
        self._key = str(folder / "key.json")
        yield store.port
        store.stop()

    def sink(self, port: int, options: TlsOptions) -> Sink:
        url = f"https://127.0.0.1:{port}"
        return gcs.build(
            gcs.Options(
                name="lake",
                type="gcs",
                bucket=BUCKET,
                endpoint_url=url,
                tls=options,
                timeout=Seconds(60),
                credentials_file=self._key,
            )
        )


class StoringAtAzure:
    @contextmanager
    def running(self, folder: Path, certificate: Path) -> Iterator[int]:
        self._server = server = Azurite(folder / "azurite", certificate=certificate)
        server.start_empty()
        yield server.port
        server.stop()

    def sink(self, port: int, options: TlsOptions) -> Sink:
        key = Secret(key_of(SECRET))
        return azure.build(
            azure.Options(
                name="lake",
                type="azure",
                account_key=key,
                tls=options,
                timeout=Seconds(60),
                account_url=self._server.url,
                container=self._server.container,
            )
        )


Trusting = Receiving | Storing | StoringAtGoogle | StoringAtAzure
SERVERS = [
    pytest.param(Receiving(), id="http"),
    pytest.param(Storing(), id="s3"),
    pytest.param(StoringAtGoogle(), id="gcs"),
    pytest.param(StoringAtAzure(), id="azure"),
]


def write_certificate(certificate: trustme.LeafCert, path: Path) -> Path:
    path.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    return path


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return ca


@pytest.mark.parametrize("server", SERVERS)
async def test_a_certificate_of_the_configured_ca_is_accepted(
    server: Trusting, ca: trustme.CA, tmp_path: Path
) -> None:
    with server.running(
        tmp_path, write_certificate(ca.issue_cert("127.0.0.1"), tmp_path / "server.pem")
    ) as port:
        async with server.sink(port, TlsOptions(ca_file=str(tmp_path / "ca.pem"))) as sink:
            await sink.send(batch_of(lines_of(10)))


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("unknown CA", "unable to get local issuer certificate"),
        ("wrong host", "IP address mismatch|for another host"),
        ("expired", "certificate has expired"),
    ],
)
async def test_an_invalid_certificate_is_rejected_with_the_reason(
    server: Trusting, case: str, said: str, ca: trustme.CA, tmp_path: Path
) -> None:
    certificate = {
        "unknown CA": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "wrong host": lambda: ca.issue_cert("127.0.0.2"),
        "expired": lambda: ca.issue_cert(
            "127.0.0.1",
            not_before=datetime.now(UTC) - timedelta(2),
            not_after=datetime.now(UTC) - timedelta(1),
        ),
    }[case]()
    with (
        server.running(tmp_path, write_certificate(certificate, tmp_path / "server.pem")) as port,
        pytest.raises(RetryLater, match=said) as caught,
    ):
        await server.sink(port, TlsOptions(ca_file=str(tmp_path / "ca.pem"))).__aenter__()
    assert caught.value.reason == "tls"


async def test_a_server_may_have_another_name_in_its_certificate(
    ca: trustme.CA, tmp_path: Path
) -> None:
    server = Receiving()
    with server.running(
        tmp_path, write_certificate(ca.issue_cert("collector.example"), tmp_path / "server.pem")
    ) as port:
        options = TlsOptions(ca_file=str(tmp_path / "ca.pem"), server_hostname="collector.example")
        async with server.sink(port, options) as sink:
            await sink.send(batch_of(lines_of(10)))


async def test_a_client_certificate_is_read_again_when_it_changes_on_disk(
    ca: trustme.CA, tmp_path: Path
) -> None:
    stranger = trustme.CA().issue_cert("client.example")
    client = write_certificate(stranger, tmp_path / "client.pem")
    certificate = write_certificate(ca.issue_cert("127.0.0.1"), tmp_path / "server.pem")
    receiver = ReceivingServer(tmp_path, certificate=certificate, client_ca=tmp_path / "ca.pem")
    receiver.server.start()
    options = TlsOptions(ca_file=str(tmp_path / "ca.pem"), cert_file=str(client))
    sink = http.build(
        http.Options(
            name="web", type="http", url=receiver.url, tls=options, probe=False, timeout=Seconds(60)
        )
    )
    async with sink:
        with pytest.raises(
            RetryLater
        ):  # TLS 1.3: the alert may be overtaken by the reset that follows it
            await sink.send(batch_of(lines_of(10)))
        write_certificate(ca.issue_cert("client.example"), client)
        await sink.send(batch_of(lines_of(10)))
    assert receiver.read_kept_lines() == lines_of(10)
    receiver.server.stop()


@pytest.mark.parametrize("kind", ["http", "s3"])
async def test_a_hanging_handshake_ends_after_the_connect_timeout(kind: str) -> None:
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as listener:  # accepts connections and never sends anything
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        sinks: dict[str, Sink] = {
            "http": http.build(
                http.Options(name="web", type="http", url=url, connect_timeout=Seconds(0.5))
            ),
            "s3": s3.build(
                s3.Options(
                    name="lake",
                    type="s3",
                    bucket=BUCKET,
                    endpoint_url=url,
                    connect_timeout=Seconds(0.5),
                    access_key=Secret(ACCESS_KEY),
                    secret_key=Secret(SECRET),
                )
            ),
        }
        with pytest.raises(RetryLater, match="timeout"):
            await asyncio.wait_for(sinks[kind].__aenter__(), timeout=600)


async def test_a_context_is_rebuilt_only_when_a_file_has_changed(
    ca: trustme.CA, tmp_path: Path
) -> None:
    context = ClientContext(TlsOptions(ca_file=str(tmp_path / "ca.pem")))
    first = await context.load()
    assert await context.load() is first
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert await context.load() is not first


async def test_a_missing_certificate_file_is_retried_and_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    sink = http.build(
        http.Options(
            name="web", type="http", url="https://127.0.0.1:1/", tls=TlsOptions(ca_file=missing)
        )
    )
    with pytest.raises(RetryLater, match=r"missing\.pem cannot be used: No such file"):
        await sink.__aenter__()
