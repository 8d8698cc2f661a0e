"""Which certificates the Splunk, Loki and OTLP sinks accept from a real collector, and that a
client certificate may change on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.contract.batches import batch_for, lines_of
from tests.servers.collecting import Collector, body
from tests.servers.stores import SECRET
from tracesidecar.errors import RetryLater
from tracesidecar.sinks import loki, otlp, splunk
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.transport.http_auth import Bearer
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Secret

Make = Callable[[int, TlsOptions], Sink]


def to_splunk(port: int, tls: TlsOptions) -> Sink:
    url = f"https://127.0.0.1:{port}"
    return splunk.build(
        splunk.Options(
            name="s",
            type="splunk",
            url=url,
            token=Secret(SECRET),
            format="raw",
            acknowledge=True,
            tls=tls,
            timeout=Seconds(60),
        )
    )


def to_loki(port: int, tls: TlsOptions) -> Sink:
    url = f"https://127.0.0.1:{port}/loki/api/v1/push"
    return loki.build(
        loki.Options(
            name="l",
            type="loki",
            url=url,
            auth=Bearer(token=Secret(SECRET)),
            format="raw",
            tls=tls,
            timeout=Seconds(60),
        )
    )


def to_otlp(port: int, tls: TlsOptions) -> Sink:
    url = f"https://127.0.0.1:{port}/v1/logs"
    return otlp.build(
        otlp.Options(
            name="o",
            type="otlp",
            url=url,
            auth=Bearer(token=Secret(SECRET)),
            tls=tls,
            timeout=Seconds(60),
        )
    )


SINKS = {"splunk": to_splunk, "loki": to_loki, "otlp": to_otlp}


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return ca


def write_certificate(certificate: trustme.LeafCert, path: Path) -> Path:
    path.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    return path


@contextmanager
def running(
    folder: Path, certificate: trustme.LeafCert, client_ca: Path | None = None
) -> Iterator[Collector]:
    collector = Collector(
        folder,
        certificate=write_certificate(certificate, folder / "server.pem"),
        client_ca=client_ca,
    )
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("unknown CA", "unable to get local issuer certificate"),
        ("wrong host", "IP address mismatch"),
        ("expired", "certificate has expired"),
    ],
)
async def test_an_invalid_certificate_is_rejected_with_the_reason(
    case: str, said: str, ca: trustme.CA, tmp_path: Path
) -> None:
    yesterday = datetime.now(UTC) - timedelta(1)
    certificate = {
        "unknown CA": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "wrong host": lambda: ca.issue_cert("127.0.0.2"),
        "expired": lambda: ca.issue_cert(
            "127.0.0.1", not_before=yesterday - timedelta(1), not_after=yesterday
        ),
    }[case]()
    with running(tmp_path, certificate) as collector:
        for name, make in SINKS.items():
            with pytest.raises(RetryLater, match=said) as caught:
                await make(
                    collector.ports[name.upper()], TlsOptions(ca_file=str(tmp_path / "ca.pem"))
                ).__aenter__()
            assert caught.value.reason == "tls"


async def test_a_client_certificate_is_read_again_when_it_changes_on_disk(
    ca: trustme.CA, tmp_path: Path
) -> None:
    client = tmp_path / "client.pem"
    tls = TlsOptions(ca_file=str(tmp_path / "ca.pem"), cert_file=str(client))
    lines = lines_of(10)
    with running(tmp_path, ca.issue_cert("127.0.0.1"), tmp_path / "ca.pem") as collector:
        for name, make in SINKS.items():
            write_certificate(trustme.CA().issue_cert("client.example"), client)
            sink = make(collector.ports[name.upper()], tls)
            with pytest.raises(
                RetryLater
            ):  # TLS 1.3: the alert may be overtaken by the reset that follows it
                await sink.__aenter__()
            write_certificate(ca.issue_cert("client.example"), client)
            async with sink:
                await sink.send(batch_for(name, lines))
        assert [body(record) for record in collector.records()] == lines * 3
