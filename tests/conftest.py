"""What every test leaves behind it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """A command that runs within a test sends its logs to what pytest captures, and that is closed
    after it.
    """
    yield
    structlog.reset_defaults()
