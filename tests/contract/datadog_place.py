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
        return datadog.build(self.options(**changes))

    def lines(self) -> list[bytes]:
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
        return f"{secret}\n"

    def accept_only(self, secret: str) -> None:
        self.secret = secret
        self.receiver.order(intake="datadog", secret=secret)

    def writes(self) -> int:
        return len(self.submissions())

    def start_server(self) -> None:
        self.receiver.server.start()
        self.accept_only(self.secret)

    def stop_server(self) -> None:
        self.receiver.server.stop()


@pytest.fixture
def datadog_place(
    tmp_path: Path, receiver: ReceivingServer, toxiproxy: Toxiproxy
) -> Iterator[DatadogPlace]:
    credentials = tmp_path / "api-key"
    credentials.write_text(f"{SECRET}\n")
    with toxiproxy.before(receiver.port) as way:
        place = DatadogPlace(receiver, way, credentials)
        place.accept_only(SECRET)
        yield place
