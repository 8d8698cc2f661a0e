"""The fast engine: Hyperscan (Vectorscan) databases."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version

import hyperscan

from tracesidecar.sanitize.engine.compile_database import Compilation, compiled
from tracesidecar.sanitize.engine.database_cache import DatabaseCache
from tracesidecar.sanitize.engine.interface import HIT_LIMIT, Hit, Scanner, ScanPattern, TooManyHits

_SHORT_EXPRESSIONS = 100
"""Compiled here: they take less time than a child process needs to start, and hardly any memory."""


class HyperscanScanner:
    """One compiled database.

    Not for two threads at once (the scratch space is shared; Hyperscan refuses, it does not err).
    """

    def __init__(self, database: Callable[[], hyperscan.Database], limit: int) -> None:
        """`database` is asked for when the scanner is first used, or waited for."""
        self._database = database
        self._limit = limit

    @cached_property
    def _scan(self) -> Callable[..., None]:
        scan: Callable[..., None] = self._database().scan
        return scan

    def wait(self) -> None:
        """Return when the database is there."""
        _ = self._scan

    def find_hits(self, data: bytes, limit: int | None = None) -> list[Hit]:
        """Every place where a pattern ends; raise TooManyHits past the limit."""
        found: list[Hit] = []
        add = found.append
        limit = self._limit if limit is None else limit

        def on_match(
            pattern: int, _start: int, end: int, _flags: int, _context: object
        ) -> bool | None:
            add((end, pattern))
            return True if len(found) > limit else None

        try:
            self._scan(data, match_event_handler=on_match)
        except hyperscan.ScanTerminated as stopped:
            raise TooManyHits from stopped
        return found

    def find_first_hits(self, data: bytes) -> dict[int, int]:
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
        self._awaited: list[HyperscanScanner] = []

    def compile(
        self,
        name: str,
        patterns: Sequence[ScanPattern],
        *,
        once: bool = False,
        limit: int = HIT_LIMIT,
    ) -> Scanner:
        """Compile `patterns`; with `once` each reports its first match only."""
        flags = hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_SINGLEMATCH if once else 0)
        key = _digest(patterns, flags)
        stored = self._cache.load(name, key)
        database = _loaded(stored) if stored is not None else None
        if database is not None or not self._cache.is_kept:
            there = database if database is not None else compiled(patterns, flags)
            return HyperscanScanner(lambda: there, limit)
        if sum(len(pattern.expression) for pattern in patterns) < _SHORT_EXPRESSIONS:
            here = self._compiled_here(name, key, patterns, flags)
            return HyperscanScanner(lambda: here, limit)
        elsewhere = Compilation(patterns, flags)
        scanner = HyperscanScanner(
            lambda: (
                self._stored(name, key, elsewhere.dump())
                or self._compiled_here(name, key, patterns, flags)
            ),
            limit,
        )
        self._awaited.append(scanner)
        return scanner

    def wait(self) -> None:
        """Return when every scanner is compiled, and in the cache."""
        for scanner in self._awaited:
            scanner.wait()
        self._awaited.clear()

    def _stored(self, name: str, key: str, dump: bytes | None) -> hyperscan.Database | None:
        database = _loaded(dump) if dump is not None else None
        if database is not None and dump is not None:
            self._cache.store(name, key, dump)
        return database

    def _compiled_here(
        self, name: str, key: str, patterns: Sequence[ScanPattern], flags: int
    ) -> hyperscan.Database:
        database = compiled(patterns, flags)
        self._cache.store(name, key, hyperscan.dumpb(database))
        return database


def _loaded(stored: bytes) -> hyperscan.Database | None:
    """The database, None when another build of the library wrote it."""
    try:
        database = hyperscan.loadb(stored, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)  # loadb leaves it out, and a scan needs it
    except hyperscan.error:
        return None
    return database


def _digest(patterns: Sequence[ScanPattern], flags: int) -> str:
    content = repr((version("hyperscan"), flags, [tuple(pattern) for pattern in patterns]))
    return hashlib.sha256(content.encode()).hexdigest()
