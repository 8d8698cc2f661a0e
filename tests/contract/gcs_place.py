"""Google Cloud Storage under the contract."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.contract.patience import PATIENT
from tests.servers.google_storage import BUCKET, GoogleStorage, google_storage
from tests.servers.stores import SECRET
from tests.servers.toxiproxy import FaultyWay, Toxiproxy
from tracesidecar.model import Compression
from tracesidecar.sinks.object_store.gcs import sink as gcs
from tracesidecar.sinks.sink import Sink

__all__ = ["gcs_place", "google_storage"]


@dataclass
class GcsPlace:
    """A bucket of the GCS sink."""

    store: GoogleStorage
    way: FaultyWay
    credentials: Path
    type: str = "gcs"
    compression: Compression = "gzip"

    def options(self, **changes: object) -> gcs.Options:
        """Return the options of a sink that connects through the fault proxy."""
        usual = gcs.Options(
            name="lake",
            type="gcs",
            prefix="agents",
            bucket=BUCKET,
            endpoint_url=f"http://127.0.0.1:{self.way.port}",
            credentials_file=str(self.credentials),
        )
        return msgspec.structs.replace(usual, **(PATIENT | changes))

    def sink(self, **changes: object) -> Sink:
        return gcs.build(self.options(**changes))

    def lines(self) -> list[bytes]:
        objects = sorted(
            (key, content)
            for key, content in self.store.objects().items()
            if key.endswith(".jsonl.gz")
        )
        return [
            line for _, content in objects for line in gzip.decompress(content).split(b"\n")[:-1]
        ]

    def writes(self) -> int:
        return sum(key.endswith(".jsonl.gz") for key in self.store.objects())

    def credentials_with(self, secret: str) -> str:
        return self.store.key_file(secret)

    def accept_only(self, secret: str) -> None:
        self.store.accept_only(secret)

    def start_server(self) -> None:
        self.store.start()

    def stop_server(self) -> None:
        self.store.stop()


@pytest.fixture
def gcs_place(
    tmp_path: Path, google_storage: GoogleStorage, toxiproxy: Toxiproxy
) -> Iterator[GcsPlace]:
    """Return a bucket of Google's storage behind a fault proxy."""
    credentials = tmp_path / "google.json"
    credentials.write_text(google_storage.key_file(SECRET))
    with toxiproxy.before(google_storage.port) as way:
        yield GcsPlace(google_storage, way, credentials)
