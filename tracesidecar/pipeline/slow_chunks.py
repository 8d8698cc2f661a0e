"""Clean slow chunks beside the worker thread, so that no other file waits for it.

A line of 64 MiB that was made to look like secrets from end to end takes minutes to clean, and so
does a MiB of short lines of that kind. They are judged exactly as in the worker thread: only where
that happens differs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tracesidecar.model import CHUNK_BYTES, Chunk, CleanChunk
from tracesidecar.progress import Progress

LONG_LINE_BYTES = 2 * CHUNK_BYTES
"""Longer than any chunk that has more than one line."""

MOST_STEPS = 500_000
"""How many steps a chunk may take in the worker thread; a real one takes a tenth of them."""

KEPT_SECONDS = 60.0
"""How long a clean chunk waits to be taken before another one may be cleaned in its place: its file
may be gone, or its sink may be busy.
"""


@dataclass(slots=True)
class _Job:
    chunk: Chunk
    flush: bool
    result: list[CleanChunk | Exception] = field(default_factory=list)
    done_at: float = 0.0


class SlowChunks:
    """Cleans one slow chunk at a time, in a thread of its own. For the worker thread.

    What cleans is made for each chunk, and in that thread: its scratch space is for one thread
    only, and it is seldom needed. What is clean stays until it is taken: otherwise two slow chunks
    could replace each other for ever.
    """

    def __init__(
        self,
        make_cleaner: Callable[[], Callable[[Chunk, bool], CleanChunk]],
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`make_cleaner` makes what cleans a chunk, with `flush` or not.

        `progress` counts the thread's work. `clock` is in seconds and never goes back.
        """
        self._make_cleaner = make_cleaner
        self._progress = progress
        self._clock = clock
        self._job: _Job | None = None
        self._queued: set[tuple[int, int]] = set()

    def is_waiting(self, segment: int, offset: int) -> bool:
        """Return whether a slow chunk that begins there is not clean yet: do not read it now."""
        job = self._job
        if job is not None and _place(job.chunk) == (segment, offset):
            return not job.result
        return (segment, offset) in self._queued and self._is_occupied()

    def has(self, segment: int, offset: int) -> bool:
        """Return whether a slow chunk that begins there is not clean yet, or clean and not taken.

        Ask this after `begin`: the thread may be done before the next question.
        """
        job = self._job
        return (job is not None and _place(job.chunk) == (segment, offset)) or self.is_waiting(
            segment, offset
        )

    def begin(self, chunk: Chunk, *, flush: bool) -> None:
        """Begin to clean a chunk, or note that it is there while another one has the place."""
        if self._is_occupied():
            self._queued.add(_place(chunk))
            return
        self._queued.discard(_place(chunk))
        self._job = job = _Job(chunk, flush)
        # a daemon thread: when the process ends, nobody wants this chunk any more
        threading.Thread(target=self._clean, args=(job,), name="slow chunk", daemon=True).start()

    def take(self, segment: int, offset: int) -> tuple[Chunk, CleanChunk] | None:
        """Return the chunk that begins there, as read and cleaned; None if it was not cleaned here.

        Raise what the cleaning raised.
        """
        job = self._job
        if job is None or not job.result or _place(job.chunk) != (segment, offset):
            return None
        self._job = None
        result = job.result[0]
        if isinstance(result, Exception):
            raise result
        return job.chunk, result

    def _is_occupied(self) -> bool:
        """Return whether a chunk is being cleaned, or was and is about to be taken."""
        job = self._job
        return job is not None and (not job.result or self._clock() - job.done_at < KEPT_SECONDS)

    def _clean(self, job: _Job) -> None:
        result: CleanChunk | Exception
        try:
            with self._progress.helping():
                result = self._make_cleaner()(job.chunk, job.flush)
        except Exception as error:  # noqa: BLE001 - `take` raises it in the worker thread
            result = error
        job.done_at = self._clock()
        job.result.append(result)


def _place(chunk: Chunk) -> tuple[int, int]:
    return chunk.segment.id, chunk.start
