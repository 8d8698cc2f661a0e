"""Which archives are being decompressed: as many as the memory allows, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracesidecar.model import CHUNK_BYTES
from tracesidecar.tail.reading.compressed import ArchiveFile

WINDOW_BYTES = 4 * CHUNK_BYTES

POSITIONS = 3
"""How many positions of one archive are kept open, for sinks that are apart."""

LARGE_BYTES = 16 * CHUNK_BYTES
"""An archive that takes more memory is large: of these, one is read at a time."""

OTHERS_BYTES = 64 * CHUNK_BYTES
"""How much memory the archives take beside the large one that is read.

That may take `max_line`, for a line without an end, and a window of 128 MiB.
"""

TURN_SECONDS = 5.0
"""An archive that was read for so long makes room for one that waits, and is decompressed from its
beginning again when its turn comes back: that must not happen with every chunk.
"""

IDLE_SECONDS = 0.5
"""One that was not read for so long makes room at once."""


@dataclass(slots=True, eq=False)
class _Position:
    """A reader of an archive, and when it was opened and last read, by the monotonic clock."""

    archive: ArchiveFile
    opened_at: float
    read_at: float

    @property
    def is_large(self) -> bool:
        return self.archive.memory_bytes > LARGE_BYTES

    def is_busy(self, now: float) -> bool:
        """Return whether it need not make room for others."""
        return now - self.opened_at < TURN_SECONDS and now - self.read_at < IDLE_SECONDS


class OpenArchives:
    """The positions of archives that are being read, by segment.

    One of the large ones has the turn: it is read, and stays while small ones are.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._positions: dict[int, list[_Position]] = {}
        self._large: set[int] = set()
        self._turn: _Position | None = None
        self._turn_since = self._asked_at = float("-inf")

    def has_turn(self, segment: int, offset: int) -> bool:
        """Return whether an archive can be read at an offset now; else others are read first."""
        now, position = self._clock(), self._find(segment, offset)
        if segment in self._large if position is None else position.is_large:
            return self._ask_for_turn(position, now)
        if position is not None:
            return True
        others = (other for other in self._list_all() if other is not self._turn)
        taken = sum(other.archive.memory_bytes for other in others if other.is_busy(now))
        return taken + WINDOW_BYTES <= OTHERS_BYTES

    def _ask_for_turn(self, position: _Position | None, now: float) -> bool:
        turn = self._turn
        if turn is not None and turn is position:
            is_over = now - self._turn_since >= TURN_SECONDS
            if is_over and now - self._asked_at < IDLE_SECONDS:
                self._turn = None
                return False
            return True
        is_idle = turn is None or now - turn.read_at >= IDLE_SECONDS
        if not is_idle and now - self._turn_since < TURN_SECONDS:
            self._asked_at = now
            return False
        self._turn, self._turn_since = position, now
        return True

    def open(
        self, segment: int, offset: int, begin: Callable[[], ArchiveFile], *, in_turn: bool = False
    ) -> ArchiveFile:
        """Return the reader that is nearest before `offset`, or a new one.

        `in_turn`: `has_turn` was asked before each read. Who does not ask may let the archive that
        has the turn be closed.
        """
        now, position = self._clock(), self._find(segment, offset)
        positions = self._positions.setdefault(segment, [])
        if position is None:
            position = _Position(begin(), now, now)
            if segment in self._large and self._turn is None:
                self._turn, self._turn_since = position, now
        else:
            positions.remove(position)
        position.read_at = now
        positions.append(position)
        for surplus in positions[:-POSITIONS]:
            self._drop(surplus)
        kept = self._turn if in_turn and not position.is_large else None
        self._make_room(position, kept, now)
        return position.archive

    def end_turn(self, segment: int) -> None:
        """Note that there is nothing more to read in an archive for now."""
        for position in self._positions.get(segment, ()):
            position.read_at = float("-inf")
            if position is self._turn:
                self._turn = None

    def close(self, segment: int) -> None:
        """Drop the positions of an archive."""
        self.end_turn(segment)
        self._positions.pop(segment, None)
        self._large.discard(segment)

    def _find(self, segment: int, offset: int) -> _Position | None:
        """Return the nearest position before an offset, None if a new one has to be begun.

        One that has all from the beginning is for who is there, unless the offset is in it.
        """
        near = [each for each in self._positions.get(segment, ()) if each.archive.start <= offset]
        found = max(near, key=lambda each: each.archive.start, default=None)
        if found is not None and found.archive.start == 0:
            size = found.archive.size()
            return None if WINDOW_BYTES < size < offset else found
        return found

    def _make_room(self, reading: _Position, kept: _Position | None, now: float) -> None:
        """Drop others if they take too much memory beside the one that is read, and the kept one.

        First those that were not read for a while, or for long, and of these the largest. They are
        decompressed from the beginning again once there is more to read in them.
        """
        others = [each for each in self._list_all() if each not in (reading, kept)]
        others.sort(key=lambda each: (each.is_busy(now), -each.archive.memory_bytes))
        taken = sum(each.archive.memory_bytes for each in others)
        for other in others:
            if taken <= OTHERS_BYTES:
                break
            self._drop(other)
            taken -= other.archive.memory_bytes

    def _drop(self, dropped: _Position) -> None:
        for segment, positions in self._positions.items():
            if dropped in positions:
                positions.remove(dropped)
                self._turn = None if dropped is self._turn else self._turn
                if dropped.is_large:
                    self._large.add(segment)

    def _list_all(self) -> Iterator[_Position]:
        for positions in self._positions.values():
            yield from positions
