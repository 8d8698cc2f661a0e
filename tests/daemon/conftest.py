"""A sidecar per test, ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.sidecar import Sidecar
from tests.servers.receiving import ReceivingServer


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
