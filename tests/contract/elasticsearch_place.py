"""The Elasticsearch sink's destination: OpenSearch behind a gate that requires an API key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.contract.patience import PATIENT
from tests.servers.search import Gate, SearchServer
from tests.servers.stores import SECRET
from tests.servers.toxiproxy import FaultyWay, Toxiproxy
from tracesidecar.model import Compression
from tracesidecar.sinks import elasticsearch
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.transport.http_auth import Bearer


@dataclass
class SearchPlace:
    """Raw lines: each is the `event.original` of a document.

    Stopping and starting the server means the gate; the node keeps running.
    """

    search: SearchServer
    gate: Gate
    way: FaultyWay
    credentials: Path
    type: str = "elasticsearch"
    compression: Compression = "gzip"
    secret: str = SECRET

    def options(self, **changes: object) -> elasticsearch.Options:
        """Make the options of a sink that goes through the fault proxy."""
        usual = elasticsearch.Options(
            name="search",
            type="elasticsearch",
            url=f"http://127.0.0.1:{self.way.port}",
            auth=Bearer(scheme="ApiKey", token_file=str(self.credentials)),
            format="raw",
        )
        return msgspec.structs.replace(usual, **(PATIENT | changes))

    def sink(self, **changes: object) -> Sink:
        """Make a new sink for it; `changes` replaces the usual options."""
        return elasticsearch.build(self.options(**changes))

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        return [
            document["_source"]["event"]["original"].encode()
            for document in self.search.documents()
        ]

    def writes(self) -> int:
        """Return how many requests it has stored."""
        return sum(request["status"] == 200 for request in self.gate.requests())

    def credentials_with(self, secret: str) -> str:
        """Return what the file `credentials` must hold for a secret."""
        return f"{secret}\n"

    def accept_only(self, secret: str) -> None:
        """Have the server accept only this secret from now on."""
        self.secret = secret
        self.gate.order(authorization=f"ApiKey {secret}")

    def start_server(self) -> None:
        """Start the server, for the first time or again."""
        self.gate.server.start()

    def stop_server(self) -> None:
        """Stop the server; it keeps what it has stored."""
        self.gate.server.stop()


@pytest.fixture
def search_gate(search_server: SearchServer, search_gate_process: Gate) -> Gate:
    """Return a gate that runs and lets everything pass."""
    if not search_gate_process.server.is_running:
        search_gate_process.server.start()
    search_gate_process.order()
    return search_gate_process


@pytest.fixture(scope="session")
def search_gate_process(
    search_process: SearchServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """Start one gate in front of the server for all tests."""
    gate = Gate(tmp_path_factory.mktemp("gate"), search_process.port)
    yield gate
    gate.server.stop()


@pytest.fixture
def elasticsearch_place(
    tmp_path: Path, search_server: SearchServer, search_gate: Gate, toxiproxy: Toxiproxy
) -> Iterator[SearchPlace]:
    """Return a search server behind a gate and a fault proxy."""
    credentials = tmp_path / "api-key"
    with toxiproxy.before(search_gate.port) as way:
        place = SearchPlace(search_server, search_gate, way, credentials)
        credentials.write_text(place.credentials_with(SECRET))
        place.accept_only(SECRET)
        yield place
