"""The destinations of the contract tests: a new sink adds one fixture, and names it in `PLACES` or
`NETWORK_PLACES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.azure_place import azure_place, azurite, azurite_process
from tests.contract.collector_places import loki_place, otlp_place, splunk_place
from tests.contract.datadog_place import datadog_place
from tests.contract.elasticsearch_place import elasticsearch_place, search_gate, search_gate_process
from tests.contract.gcs_place import gcs_place, google_storage
from tests.contract.kafka_place import kafka_place
from tests.contract.places import BucketPlace, Endpoint, Folder, NetworkPlace, OutputFile, Place
from tests.contract.sql_place import duckdb_place, postgres_place, sqlite_place
from tests.contract.syslog_place import relp_place, syslog_place
from tests.servers.broker import broker
from tests.servers.collecting import collector, collector_process
from tests.servers.postgres import postgres_server
from tests.servers.receiving import ReceivingServer
from tests.servers.search import search_process, search_server
from tests.servers.stores import SECRET, ObjectStore, ignorant_store, object_store
from tests.servers.toxiproxy import Toxiproxy, toxiproxy

__all__ = [
    "azure_place",
    "azurite",
    "azurite_process",
    "broker",
    "collector",
    "collector_process",
    "datadog_place",
    "duckdb_place",
    "elasticsearch_place",
    "gcs_place",
    "google_storage",
    "ignorant_store",
    "kafka_place",
    "loki_place",
    "object_store",
    "otlp_place",
    "postgres_place",
    "postgres_server",
    "relp_place",
    "search_gate",
    "search_gate_process",
    "search_process",
    "search_server",
    "splunk_place",
    "sqlite_place",
    "syslog_place",
    "toxiproxy",
]

NETWORK_PLACES = (
    "azure_place",
    "datadog_place",
    "elasticsearch_place",
    "gcs_place",
    "http_place",
    "kafka_place",
    "loki_place",
    "otlp_place",
    "postgres_place",
    "relp_place",
    "s3_place",
    "splunk_place",
)
PLACES = (
    "directory_place",
    "duckdb_place",
    "sqlite_place",
    "stdout_place",
    "syslog_place",
    *NETWORK_PLACES,
)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=NETWORK_PLACES)
def network_place(request: pytest.FixtureRequest) -> NetworkPlace:
    found: NetworkPlace = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def directory_place(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "lake")


@pytest.fixture
def stdout_place(tmp_path: Path) -> Iterator[OutputFile]:
    place = OutputFile(tmp_path / "out")
    yield place
    place.close()


@pytest.fixture(scope="session")
def receiving_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingServer]:
    receiver = ReceivingServer(tmp_path_factory.mktemp("receiver"))
    yield receiver
    receiver.server.stop()


@pytest.fixture
def receiver(receiving_process: ReceivingServer) -> ReceivingServer:
    receiving_process.start_empty()
    return receiving_process


@pytest.fixture
def http_place(
    tmp_path: Path, receiver: ReceivingServer, toxiproxy: Toxiproxy
) -> Iterator[Endpoint]:
    credentials = tmp_path / "token"
    with toxiproxy.before(receiver.port) as way:
        place = Endpoint(receiver, way, credentials)
        credentials.write_text(place.credentials_with(SECRET))
        place.accept_only(SECRET)
        yield place


@pytest.fixture
def s3_place(
    tmp_path: Path, object_store: ObjectStore, toxiproxy: Toxiproxy
) -> Iterator[BucketPlace]:
    credentials = tmp_path / "credentials"
    with toxiproxy.before(object_store.port) as way:
        place = BucketPlace(object_store, way, credentials)
        credentials.write_text(place.credentials_with(SECRET))
        yield place
