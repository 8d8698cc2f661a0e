"""The destination of the Datadog sink: a local server built from the public documentation, because
no real one is available.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.contract.patience import PATIENT
from tests.servers.receiving import ReceivingServer, Request
from tests.servers.stores import SECRET
from tests.servers.toxiproxy import FaultyWay, Toxiproxy
from tracesidecar.model import Compression
from tracesidecar.sinks import datadog
from tracesidecar.sinks.sink import Sink


@dataclass
class DatadogPlace:
    """Repeats are known by the event's id."""

    receiver: ReceivingServer
    way: FaultyWay
    credentials: Path
    type: str = "datadog"
    compression: Compression = "gzip"
    secret: str = SECRET

    def options(self, **changes: object) -> datadog.Options:
        """Make the options of a sink that goes through the fault proxy."""
        usual = datadog.Options(
            name="dd",
            type="datadog",
            url=f"http://127.0.0.1:{self.way.port}/api/v2/logs",
            api_key_file=str(self.credentials),
        )
        return msgspec.structs.replace(usual, **(PATIENT | changes))

    def sink(self, **changes: object) -> Sink:
        """Make a new sink for it; `changes` replaces the usual options."""
        return datadog.build(self.options(**changes))

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        logs = (log for request in self.submissions() for log in json.loads(request.plain))
        return list({log["event_id"]: log["message"].encode() for log in logs}.values())

    def submissions(self) -> list[Request]:
        """The accepted requests that hold logs."""
        return [
            request
            for request in self.receiver.requests()
            if request.kept and request.plain != b"{}"
        ]

    def credentials_with(self, secret: str) -> str:
        """Return what the file `credentials` must hold for a secret."""
        return f"{secret}\n"

    def accept_only(self, secret: str) -> None:
        """Have the server accept only this secret from now on."""
        self.secret = secret
        self.receiver.order(intake="datadog", secret=secret)

    def writes(self) -> int:
        """Return how many requests it has stored."""
        return len(self.submissions())

    def start_server(self) -> None:
        """Start the server, for the first time or again."""
        self.receiver.server.start()
        self.accept_only(self.secret)

    def stop_server(self) -> None:
        """Stop the server; it keeps what it has stored."""
        self.receiver.server.stop()


@pytest.fixture
def datadog_place(
    tmp_path: Path, receiver: ReceivingServer, toxiproxy: Toxiproxy
) -> Iterator[DatadogPlace]:
    """Return an intake of Datadog behind a fault proxy."""
    credentials = tmp_path / "api-key"
    credentials.write_text(f"{SECRET}\n")
    with toxiproxy.before(receiver.port) as way:
        place = DatadogPlace(receiver, way, credentials)
        place.accept_only(SECRET)
        yield place
