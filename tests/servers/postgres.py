"""A real PostgreSQL on a socket of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.provision import is_ci


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start it once; give the address of an empty database."""
    try:
        import pgserver
    except ImportError:
        if is_ci():
            pytest.fail("pgserver is not installed")
        pytest.skip("pgserver is not installed")
    server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
