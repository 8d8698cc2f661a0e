"""Azurite: Azure Blob Storage as a process, with real signatures, conditions and MD5s; over TLS it
also accepts tokens, no matter who signed them.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient

from tests.servers.processes import Server, free_port, require
from tests.servers.stores import SECRET

ACCOUNT = "shipper"


def key_of(secret: str) -> str:
    """Return an account key made from a secret."""
    return base64.b64encode(secret.encode()).decode()


class Azurite:
    """One process for all tests; each test has a container of its own.

    It keeps its data when it is restarted.
    """

    def __init__(self, folder: Path, *, certificate: Path | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self._certificate = certificate
        self.port = free_port()
        self.secret = SECRET
        self.container = "none-yet"
        self._folder = folder
        self._made = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The account's address without a proxy."""
        return (
            f"{'http' if self._certificate is None else 'https'}://127.0.0.1:{self.port}/{ACCOUNT}"
        )

    def start(self) -> None:
        """Start the process, unless it runs."""
        if self._server is not None:
            return
        address = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        tls: list[str | Path] = []
        if self._certificate is not None:
            tls = ["--cert", self._certificate, "--key", self._certificate, "--oauth", "basic"]
        quiet = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        kept = ["--location", str(self._folder)]
        command = ["node", require("azurite"), *address, *kept, *tls, *quiet]
        self._server = Server(
            command,
            self.port,
            self._folder / "log",
            {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key_of(self.secret)}"},
        )
        self._server.start()

    def stop(self) -> None:
        """Stop the process."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def start_empty(self) -> None:
        """Start with an empty container and the first secret."""
        if self.secret != SECRET:
            self.accept_only(SECRET)
        self.start()
        self._made += 1
        self.container = f"traces-{self._made}"
        self.client().create_container()

    def accept_only(self, secret: str) -> None:
        """Start again with another account key."""
        self.stop()
        self.secret = secret
        self.start()

    def client(self) -> ContainerClient:
        """Make a client for the tests, independent of the sink."""
        return ContainerClient(
            self.url,
            self.container,
            AzureNamedKeyCredential(ACCOUNT, key_of(self.secret)),
            connection_verify=False,
        )

    def objects(self) -> dict[str, bytes]:
        """Read everything back."""
        with self.client() as client:
            return {
                blob.name: client.download_blob(blob.name).readall() for blob in client.list_blobs()
            }


@pytest.fixture(scope="session")
def azurite_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Run one Azurite for all tests."""
    server = Azurite(tmp_path_factory.mktemp("azurite"))
    yield server
    server.stop()


@pytest.fixture
def azurite(azurite_process: Azurite) -> Azurite:
    """Return the running Azurite, emptied."""
    azurite_process.start_empty()
    return azurite_process
