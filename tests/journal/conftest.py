"""A sidecar per test, ended with it."""

from tests.daemon.conftest import sidecar

__all__ = ["sidecar"]
