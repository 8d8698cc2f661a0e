"""Which engine runs on this machine."""

from __future__ import annotations

from tracesidecar.sanitize.engine.interface import ScanEngine


def choose_engine(cache_directory: str | None, cache_key: bytes | None = None) -> ScanEngine:
    """Return Hyperscan if its wheel can be imported, otherwise RE2: as good, but slower.

    Compiled Hyperscan databases are kept in `cache_directory`, signed with `cache_key`; None keeps
    none. Without a key, the directory has one of its own.
    """
    try:
        from tracesidecar.sanitize.engine.hyperscan_engine import HyperscanEngine
    except ImportError:
        from tracesidecar.sanitize.engine.re2_engine import Re2Engine

        return Re2Engine()
    return HyperscanEngine(cache_directory, cache_key)
