"""Azure Blob Storage under the contract."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.contract.patience import PATIENT
from tests.servers.azurite import ACCOUNT, Azurite, azurite, azurite_process, key_of
from tests.servers.stores import SECRET
from tests.servers.toxiproxy import FaultyWay, Toxiproxy
from tracesidecar.model import Compression
from tracesidecar.sinks.object_store.azure import sink as azure
from tracesidecar.sinks.sink import Sink

__all__ = ["azure_place", "azurite", "azurite_process"]


@dataclass
class AzurePlace:
    """A container of the Azure sink."""

    server: Azurite
    way: FaultyWay
    credentials: Path
    type: str = "azure"
    compression: Compression = "gzip"

    def options(self, **changes: object) -> azure.Options:
        """Return the options of a sink that connects through the fault proxy."""
        usual = azure.Options(
            name="lake",
            type="azure",
            prefix="agents",
            account_url=f"http://127.0.0.1:{self.way.port}/{ACCOUNT}",
            container=self.server.container,
            credentials_file=str(self.credentials),
        )
        return msgspec.structs.replace(usual, **(PATIENT | changes))

    def sink(self, **changes: object) -> Sink:
        return azure.build(self.options(**changes))

    def lines(self) -> list[bytes]:
        objects = sorted(
            (key, content)
            for key, content in self.server.objects().items()
            if key.endswith(".jsonl.gz")
        )
        return [
            line for _, content in objects for line in gzip.decompress(content).split(b"\n")[:-1]
        ]

    def writes(self) -> int:
        return sum(key.endswith(".jsonl.gz") for key in self.server.objects())

    def credentials_with(self, secret: str) -> str:
        return f"{key_of(secret)}\n"

    def accept_only(self, secret: str) -> None:
        self.server.accept_only(secret)

    def start_server(self) -> None:
        self.server.start()

    def stop_server(self) -> None:
        self.server.stop()


@pytest.fixture
def azure_place(tmp_path: Path, azurite: Azurite, toxiproxy: Toxiproxy) -> Iterator[AzurePlace]:
    """Return a container behind a fault proxy."""
    credentials = tmp_path / "azure-key"
    credentials.write_text(f"{key_of(SECRET)}\n")
    with toxiproxy.before(azurite.port) as way:
        yield AzurePlace(azurite, way, credentials)
