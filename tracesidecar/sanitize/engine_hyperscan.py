"""The fast engine: Hyperscan (Vectorscan) databases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version

import hyperscan

from tracesidecar.sanitize.compile_database import compiled, compiled_elsewhere
from tracesidecar.sanitize.database_cache import DatabaseCache
from tracesidecar.sanitize.scanning import HIT_LIMIT, Hit, Pattern, Scanner, TooManyHits


class HyperscanScanner:
    """One compiled database. Not for two threads at once (the scratch space is shared; Hyperscan refuses, it does not err)."""

    def __init__(self, database: hyperscan.Database, limit: int) -> None:
        self._scan = database.scan
        self._limit = limit

    def hits(self, data: bytes, limit: int | None = None) -> list[Hit]:
        """Every place where a pattern ends; raise TooManyHits past the limit."""
        found: list[Hit] = []
        add = found.append
        limit = self._limit if limit is None else limit

        def on_match(pattern: int, _start: int, end: int, _flags: int, _context: object) -> bool | None:
            add((end, pattern))
            return True if len(found) > limit else None

        try:
            self._scan(data, match_event_handler=on_match)
        except hyperscan.ScanTerminated as stopped:
            raise TooManyHits from stopped
        return found

    def first_hits(self, data: bytes) -> dict[int, int]:
        """Each pattern that occurs, with the end of its first match."""
        found: dict[int, int] = {}

        def on_match(pattern: int, _start: int, end: int, _flags: int, _context: object) -> None:
            found.setdefault(pattern, end)

        self._scan(data, match_event_handler=on_match)
        return found


class HyperscanEngine:
    """Compiles databases, or takes them from the cache."""

    name = "hyperscan"
    reports_every_end = True

    def __init__(self, cache_directory: str | None = None) -> None:
        self._cache = DatabaseCache(cache_directory)

    def scanner(self, name: str, patterns: Sequence[Pattern], *, once: bool = False, limit: int = HIT_LIMIT) -> Scanner:
        """Compile `patterns`; with `once` each reports its first match only."""
        flags = hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_SINGLEMATCH if once else 0)
        key = _digest(patterns, flags)
        stored = self._cache.load(name, key)
        database = _loaded(stored) if stored is not None else None
        if database is not None:
            return HyperscanScanner(database, limit)
        stored = compiled_elsewhere(patterns, flags) if self._cache.is_kept else None
        database = _loaded(stored) if stored is not None else None
        if database is None:
            database = compiled(patterns, flags)
            stored = hyperscan.dumpb(database)
        self._cache.store(name, key, stored or b"")
        return HyperscanScanner(database, limit)


def _loaded(stored: bytes) -> hyperscan.Database | None:
    """The database, None when another build of the library wrote it."""
    try:
        database = hyperscan.loadb(stored, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)  # loadb leaves it out, and a scan needs it
    except hyperscan.error:
        return None
    return database


def _digest(patterns: Sequence[Pattern], flags: int) -> str:
    content = repr((version("hyperscan"), flags, [tuple(pattern) for pattern in patterns]))
    return hashlib.sha256(content.encode()).hexdigest()
