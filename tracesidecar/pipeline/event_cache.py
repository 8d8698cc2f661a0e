"""What the lines of a piece mean: interpreted once for all sinks that walk side by side."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from tracesidecar.batch.builder import Piece
from tracesidecar.dialects import (
    DialectEvent,
    Interpreter,
    Line,
    LineBlock,
    UnreadableState,
    decode_state,
)
from tracesidecar.model import CHUNK_BYTES
from tracesidecar.pipeline.chunk_reader import ChunkReader
from tracesidecar.tail.tailer import Tailer

log = structlog.get_logger()

EVENTS_PER_BYTE = 3
"""About how much more memory the events of a piece take than its lines."""

Interpretation = tuple[list[DialectEvent], bytes]
"""The events of a piece, and the interpreter's state behind it."""


class _Counted(NamedTuple):
    """How far the lines of a segment were counted last, and the state there."""

    segment: int
    offset: int
    state: bytes


class EventCache:
    """Events of pieces, with a cache bounded in bytes. For one thread."""

    def __init__(
        self,
        collector: Tailer,
        pieces: ChunkReader,
        interpreters: Mapping[str, Interpreter],
        *,
        cache_bytes: int,
    ) -> None:
        """`interpreters` are by source."""
        self._collector = collector
        self._pieces = pieces
        self._interpreters = interpreters
        self._limit = cache_bytes // EVENTS_PER_BYTE
        self._cache: OrderedDict[tuple[int, int, int, bytes], Interpretation] = OrderedDict()
        self._held = 0
        self._counted = _Counted(0, 0, b"")
        self._has_told = False

    @property
    def cached_bytes(self) -> int:
        """About how much memory the cache takes."""
        return self._held * EVENTS_PER_BYTE

    def of(self, piece: Piece, state: bytes) -> Interpretation:
        """The events of a piece; `state` is what the checkpoint before it has."""
        clean = piece.clean
        key = clean.segment.id, clean.start, clean.end, state
        found = self._cache.get(key)
        if found is None:
            found = self._interpreted(piece, state)
            self._remember(key, found)
        return found

    def _interpreted(self, piece: Piece, state: bytes) -> Interpretation:
        clean = piece.clean
        interpret, passage = self._interpreters[clean.segment.source], self._passage(piece)
        if not clean.start:
            return interpret(passage, None)
        try:
            return interpret(passage, state or self.entry(clean.segment.id, clean.start) or None)
        except UnreadableState as error:
            if not self._has_told:
                self._has_told = True
                log.warning(
                    "state.unreadable",
                    path=passage.label,
                    problem=str(error),
                    remedy="none needed: files go on by what their first lines say",
                )
            return interpret(passage, self.entry(clean.segment.id, clean.start) or None)

    def _passage(self, piece: Piece) -> LineBlock:
        clean = piece.clean
        repaired = frozenset(clean.repaired)
        lines = [
            Line(data, place.number, place.offset, place.length, place.offset in repaired)
            for data, place in zip(clean.data.split(b"\n"), piece.places, strict=False)
        ]
        refusal = clean.rejected[0].reason if clean.rejected else ""
        return LineBlock(
            self._pieces.label(clean.segment.id, clean.segment.origin or clean.segment.path),
            lines,
            piece.count,
            refusal,
        )

    def entry(self, segment: int, offset: int) -> bytes:
        """The state for a reader that begins in mid-file: what the file's first lines say, and how
        many lines there were.
        """
        known = self._counted
        if known.segment != segment or not CHUNK_BYTES <= known.offset <= offset:
            first = self._pieces.first(segment, offset)
            if first is None:
                return b""
            _, state = self._interpreters[first.clean.segment.source](self._passage(first), None)
            known = _Counted(segment, first.clean.end, state)
        file = decode_state(known.state)
        file.lines += sum(
            part.count(b"\n") or 1
            for part in self._collector.read_range(segment, known.offset, offset) or ()
        )
        self._counted = _Counted(segment, offset, file.encode())
        return self._counted.state

    def _remember(self, key: tuple[int, int, int, bytes], found: Interpretation) -> None:
        size = key[2] - key[1]
        if size > self._limit:
            return
        self._cache[key] = found
        self._held += size
        while self._held > self._limit:
            old, _ = self._cache.popitem(last=False)
            self._held -= old[2] - old[1]
