"""Scan with Hyperscan or its fork Vectorscan: the fast engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version

import hyperscan

from tracesidecar.sanitize.engine.compile_database import Compilation, compile_in_process
from tracesidecar.sanitize.engine.database_cache import DatabaseCache
from tracesidecar.sanitize.engine.interface import HIT_LIMIT, Hit, Scanner, ScanPattern, TooManyHits

_SMALL_DATABASE_CHARACTERS = 100
"""Smaller sets of expressions are compiled in this process: that takes less time than starting a
child, and hardly any memory."""


class HyperscanScanner:
    """One compiled database. For one thread at a time.

    The scratch space is shared between scans; Hyperscan rejects a concurrent scan rather than
    returning wrong results.
    """

    def __init__(self, database: Callable[[], hyperscan.Database], limit: int) -> None:
        """Load the database lazily: `database` is called on first use or by `wait`."""
        self._database = database
        self._limit = limit

    @cached_property
    def _scan(self) -> Callable[..., None]:
        scan: Callable[..., None] = self._database().scan
        return scan

    def wait(self) -> None:
        """Wait until the database is loaded."""
        _ = self._scan

    def find_hits(self, data: bytes, limit: int | None = None) -> list[Hit]:
        """Return every offset at which a pattern ends; raise TooManyHits past the limit."""
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
        """Return each pattern id that occurs, with the end of its first match."""
        found: dict[int, int] = {}

        def on_match(pattern: int, _start: int, end: int, _flags: int, _context: object) -> None:
            found.setdefault(pattern, end)

        self._scan(data, match_event_handler=on_match)
        return found


class HyperscanEngine:
    """Compiles databases, or loads them from the cache."""

    name = "hyperscan"
    reports_every_end = True

    def __init__(self, cache_directory: str | None = None, cache_key: bytes | None = None) -> None:
        self._cache = DatabaseCache(cache_directory, cache_key)
        self._compiling: list[HyperscanScanner] = []

    def compile(
        self,
        name: str,
        patterns: Sequence[ScanPattern],
        *,
        once: bool = False,
        limit: int = HIT_LIMIT,
    ) -> Scanner:
        """Compile `patterns`; with `once` each pattern reports only its first match."""
        flags = hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_SINGLEMATCH if once else 0)
        key = _digest(patterns, flags)
        stored = self._cache.load(name, key)
        database = _load(stored) if stored is not None else None
        if database is not None or not self._cache.is_enabled:
            loaded = database if database is not None else compile_in_process(patterns, flags)
            return HyperscanScanner(lambda: loaded, limit)
        if sum(len(pattern.expression) for pattern in patterns) < _SMALL_DATABASE_CHARACTERS:
            small = self._compile_and_store(name, key, patterns, flags)
            return HyperscanScanner(lambda: small, limit)
        compilation = Compilation(patterns, flags)
        scanner = HyperscanScanner(
            lambda: (
                self._load_and_store(name, key, compilation.dump())
                or self._compile_and_store(name, key, patterns, flags)
            ),
            limit,
        )
        self._compiling.append(scanner)
        return scanner

    @property
    def cache_trouble(self) -> str:
        """Why the cache cannot be trusted; empty if it can."""
        return self._cache.trouble

    def wait(self) -> None:
        """Wait until every scanner is compiled and in the cache."""
        for scanner in self._compiling:
            scanner.wait()
        self._compiling.clear()

    def _load_and_store(self, name: str, key: str, dump: bytes | None) -> hyperscan.Database | None:
        database = _load(dump) if dump is not None else None
        if database is not None and dump is not None:
            self._cache.store(name, key, dump)
        return database

    def _compile_and_store(
        self, name: str, key: str, patterns: Sequence[ScanPattern], flags: int
    ) -> hyperscan.Database:
        database = compile_in_process(patterns, flags)
        self._cache.store(name, key, hyperscan.dumpb(database))
        return database


def _load(stored: bytes) -> hyperscan.Database | None:
    """Return the database, None if another build of the library serialized it."""
    try:
        database = hyperscan.loadb(stored, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)  # not part of the dump, but a scan needs it
    except hyperscan.error:
        return None
    return database


def _digest(patterns: Sequence[ScanPattern], flags: int) -> str:
    content = repr((version("hyperscan"), flags, [tuple(pattern) for pattern in patterns]))
    return hashlib.sha256(content.encode()).hexdigest()
