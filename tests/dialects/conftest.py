"""One time zone for all tests: OpenHands writes the local time of its machine."""

from __future__ import annotations

import time

import pytest


@pytest.fixture(autouse=True)
def machine_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let times without a zone mean UTC, whatever this machine's zone is."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
