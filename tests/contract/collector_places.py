"""The destinations of the Splunk, Loki and OTLP sinks: the OpenTelemetry Collector behind a fault
proxy.

Repeats are known by the event's id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.patience import PATIENT
from tests.servers.collecting import Collector, attributes, body
from tests.servers.stores import SECRET
from tests.servers.toxiproxy import FaultyWay, Toxiproxy
from tracesidecar.model import Compression
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import build_sink, sink_type
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.transport.http_auth import Bearer
from tracesidecar.units import Seconds

ACKNOWLEDGEMENT = {"ack_timeout": Seconds(60), "ack_interval": Seconds(0.05)}


@dataclass
class CollectorPlace:
    """What the three have in common."""

    collector: Collector
    way: FaultyWay
    credentials: Path
    type: str
    compression: Compression = "gzip"

    def options(self, **changes: object) -> SinkOptions:
        """Make the options of a sink that goes through the fault proxy."""
        auth = Bearer(token_file=str(self.credentials))
        url = f"http://127.0.0.1:{self.way.port}"
        given: dict[str, dict[str, object]] = {
            "splunk": {
                "url": url,
                "token_file": str(self.credentials),
                "format": "raw",
                "acknowledge": True,
                **ACKNOWLEDGEMENT,
            },
            "loki": {"url": f"{url}/loki/api/v1/push", "auth": auth, "format": "raw"},
            "otlp": {"url": f"{url}/v1/logs", "auth": auth},
        }
        values: dict[str, Any] = {**PATIENT, **given[self.type], **changes}
        return sink_type(self.type).options(name=self.type, type=self.type, **values)

    def sink(self, **changes: object) -> Sink:
        """Make a new sink for it; `changes` replaces the usual options."""
        return build_sink(self.options(**changes))

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        name = "log.record.uid" if self.type == "otlp" else "event_id"
        return list(
            {attributes(record)[name]: body(record) for record in self.collector.records()}.values()
        )

    def credentials_with(self, secret: str) -> str:
        """Return what the file `credentials` must hold for a secret."""
        return f"{secret}\n"

    def accept_only(self, secret: str) -> None:
        """Have the server accept only this secret from now on."""
        self.collector.accept_only(secret)

    def start_server(self) -> None:
        """Start the server, for the first time or again."""
        self.collector.start()

    def stop_server(self) -> None:
        """Stop the server; it keeps what it has stored."""
        self.collector.stop()

    def writes(self) -> int:
        """Return how many requests it has stored."""
        return len(self.collector.requests())


def _place(
    sink_type: str, folder: Path, collector: Collector, toxiproxy: Toxiproxy
) -> Iterator[CollectorPlace]:
    credentials = folder / "token"
    credentials.write_text(f"{SECRET}\n")
    with toxiproxy.before(collector.ports[sink_type.upper()]) as way:
        yield CollectorPlace(collector, way, credentials, sink_type)


@pytest.fixture
def splunk_place(
    tmp_path: Path, collector: Collector, toxiproxy: Toxiproxy
) -> Iterator[CollectorPlace]:
    """Return a collector of Splunk behind a fault proxy."""
    yield from _place("splunk", tmp_path, collector, toxiproxy)


@pytest.fixture
def loki_place(
    tmp_path: Path, collector: Collector, toxiproxy: Toxiproxy
) -> Iterator[CollectorPlace]:
    """Return a Loki behind a fault proxy."""
    yield from _place("loki", tmp_path, collector, toxiproxy)


@pytest.fixture
def otlp_place(
    tmp_path: Path, collector: Collector, toxiproxy: Toxiproxy
) -> Iterator[CollectorPlace]:
    """Return an OTLP collector behind a fault proxy."""
    yield from _place("otlp", tmp_path, collector, toxiproxy)
