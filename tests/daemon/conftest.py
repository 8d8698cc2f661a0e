"""A sidecar per test, ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.sidecar import Sidecar
from tests.servers.receiving import ReceivingServer
from tests.servers.search import search_process, search_server
from tests.servers.stores import object_store
from tests.servers.toxiproxy import toxiproxy

__all__ = ["object_store", "search_process", "search_server", "toxiproxy"]


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    sidecar = Sidecar(tmp_path)
    yield sidecar
    sidecar.kill()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ReceivingServer]:
    folder = tmp_path / "receiver"
    folder.mkdir()
    receiver = ReceivingServer(folder)
    receiver.server.start()
    yield receiver
    receiver.server.stop()
