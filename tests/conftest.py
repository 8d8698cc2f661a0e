"""What holds for every test: how long an example may take, and logs of its own."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A busy machine is no failure: examples may take as long as they take.
settings.register_profile("any load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any load")


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """Reset structlog: a command run within a test logs to pytest's capture, closed after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _collector_of_its_own() -> Iterator[None]:
    """Give back what a command run within a test keeps for as long as its process lives."""
    yield
    gc.unfreeze()
