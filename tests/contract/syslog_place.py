"""The destinations of the syslog and RELP sinks: rsyslog, which requires a client certificate,
behind a fault proxy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import trustme

from tests.contract.patience import PATIENT
from tests.servers.rsyslog import LogServer, ServerTls
from tests.servers.stores import SECRET
from tests.servers.toxiproxy import FaultyWay, Toxiproxy
from tracesidecar.model import Compression
from tracesidecar.sinks import relp, syslog
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Size

LARGEST = Size(1 << 20)


class Authority:
    """A CA for one test, with a server's certificate and any number of clients'.

    A client's secret is the name in its certificate.
    """

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.file))
        self.server = self.write_certificate(folder / "server.pem", "127.0.0.1")

    def write_certificate(self, path: Path, name: str) -> Path:
        """Write a certificate of that name, with its key."""
        path.write_text(self.client(name))
        return path

    def client(self, name: str) -> str:
        """Issue a certificate, with its key."""
        return self.ca.issue_cert(name).private_key_and_cert_chain_pem.bytes().decode()


@dataclass
class LogPlace:
    """The destination of a syslog or RELP sink."""

    type: str
    server: LogServer
    way: FaultyWay
    credentials: Path
    authority: Authority
    compression: Compression = "none"

    def options(self, **changes: object) -> syslog.Options | relp.Options:
        """Make the options of a sink that goes through the fault proxy."""
        kind = relp.Options if self.type == "relp" else syslog.Options
        usual = kind(
            name="logs",
            type=self.type,
            host="127.0.0.1",
            port=self.way.port,
            max_message=LARGEST,
            tls=TlsOptions(ca_file=str(self.authority.file), cert_file=str(self.credentials)),
        )
        return msgspec.structs.replace(usual, **(PATIENT | changes))

    def sink(self, **changes: object) -> Sink:
        """Make a new sink for it; `changes` replaces the usual options."""
        options = self.options(**changes)
        return relp.build(options) if isinstance(options, relp.Options) else syslog.build(options)

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        return self.server.records()

    def writes(self) -> int:
        """Return how often the record with the most repeats has arrived: that often the batch was
        sent.
        """
        return max(
            Counter(one.event_id for one in self.server.read_understood()).values(), default=0
        )

    def credentials_with(self, secret: str) -> str:
        """Return what the file `credentials` must hold for a secret."""
        return self.authority.client(secret)

    def accept_only(self, secret: str) -> None:
        """Have the server accept only this secret from now on."""
        self.server.permit_only(secret)

    def start_server(self) -> None:
        """Start the server, for the first time or again."""
        self.server.start()

    def stop_server(self) -> None:
        """Stop the server; it keeps what it has stored."""
        self.server.stop()


def _place(kind: str, folder: Path, toxiproxy: Toxiproxy) -> Iterator[LogPlace]:
    authority = Authority(folder)
    server = LogServer(
        folder / "rsyslog",
        "relp" if kind == "relp" else "tcp",
        ServerTls(authority.server, authority.file),
        SECRET,
    )
    server.start()
    with toxiproxy.before(server.port) as way:
        server.ports.add(way.port)
        yield LogPlace(
            kind, server, way, authority.write_certificate(folder / "client.pem", SECRET), authority
        )
    server.stop()


@pytest.fixture
def syslog_place(tmp_path: Path, toxiproxy: Toxiproxy) -> Iterator[LogPlace]:
    """Return a log server for syslog behind a fault proxy."""
    yield from _place("syslog", tmp_path, toxiproxy)


@pytest.fixture
def relp_place(tmp_path: Path, toxiproxy: Toxiproxy) -> Iterator[LogPlace]:
    """Return a log server for RELP behind a fault proxy."""
    yield from _place("relp", tmp_path, toxiproxy)
