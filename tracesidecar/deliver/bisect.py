"""Bisection: isolate the records that a destination rejects by sending parts of the batch.

A part is a batch with an id of its own. The same part always has the same id and bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracesidecar.encode import decode_lines, encode_lines
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch

UNANIMOUS = 100
"""If this many records in a row are rejected and none is stored, suspect the endpoint or the
format, not the data.
"""


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that the destination will never take: its index in the batch, and why."""

    index: int
    reason: str


def split_lines(batch: Batch) -> Sequence[bytes]:
    """Return every record of the batch in order, without its newline.

    A batch with single records returns none.
    """
    if batch.records:
        return ()
    return [
        line
        for payload in batch.objects
        for line in decode_lines(payload.content, payload.compression).split(b"\n")[:-1]
    ]


def part(batch: Batch, lines: Sequence[bytes], first: int, last: int) -> Batch:
    """Return the batch of records `first` to `last` (both included); `lines` are all its lines."""
    name, count = f"{batch.id}.{first}-{last}", last - first + 1
    if batch.records:
        chosen = batch.records[first : last + 1]
        size_bytes = sum(len(record.body) for record in chosen)
        return replace(batch, id=name, lines=count, size_bytes=size_bytes, records=chosen)
    body = b"\n".join(lines[first : last + 1]) + b"\n"
    whole = batch.objects[0]
    content = encode_lines(body, whole.compression)
    payload = replace(
        whole, content=content, sha256=hashlib.sha256(content).digest(), records=count, planned=()
    )
    return replace(
        batch, id=name, objects=(payload,), manifest=None, lines=count, size_bytes=len(body)
    )


class Bisection:
    """Which spans of a batch are still to be sent, and which records were rejected so far."""

    def __init__(self, batch: Batch, error: Rejected) -> None:
        """Begin with the error that rejected the whole batch; may raise as `reject` does."""
        self.rejected: list[RejectedRecord] = []
        self._spans: list[tuple[int, int]] = []
        self._has_stored = _has_stored_some(error, batch.lines)
        self._doubtful = 0
        self._split(0, batch.lines - 1, error)
        if error.records is not None and not self._spans:
            self._doubt_unanimity()

    def next_span(self) -> tuple[int, int] | None:
        """Return the first and the last record of what to send next; None when all is decided."""
        return self._spans.pop() if self._spans else None

    def accept(self) -> None:
        """Note that a span is stored."""
        self._has_stored = True

    def reject(self, first: int, last: int, error: Rejected) -> None:
        """Note that a span was rejected; split it unless it is a single record.

        Raise RetryLater if so many records were rejected and none was stored that the destination
        itself is in doubt.
        """
        self._has_stored = self._has_stored or _has_stored_some(error, last - first + 1)
        if first == last:
            self._add(first, error)
        else:
            self._split(first, last, error)
        self._doubt_unanimity()

    def _doubt_unanimity(self) -> None:
        if not self._has_stored and self._doubtful >= UNANIMOUS:
            raise RetryLater(
                "all_refused",
                f"{len(self.rejected)} records were rejected and none stored: "
                "check the endpoint and the format",
            )

    def _add(self, index: int, error: Rejected) -> None:
        self.rejected.append(RejectedRecord(index, error.reason))
        self._doubtful += not error.is_certain

    def _split(self, first: int, last: int, error: Rejected) -> None:
        """Split a rejected span for resending, last part first.

        The parts are the runs between the rejected records if the destination named them, otherwise
        halves of where they are.
        """
        if error.records is None:
            lower, upper = error.within or (0, last - first)
            middle = first + (lower + upper) // 2
            parts = [
                (first, first + lower - 1),
                (first + lower, middle),
                (middle + 1, first + upper),
                (first + upper + 1, last),
            ]
            self._spans += [(start, end) for start, end in parts if start <= end][::-1]
            return
        runs, start = [], first
        for index in sorted(first + record for record in error.records):
            self._add(index, error)
            if index > start and not error.stored:
                runs.append((start, index - 1))
            start = index + 1
        if start <= last and not error.stored:
            runs.append((start, last))
        self._spans += runs[::-1]


def _has_stored_some(error: Rejected, records: int) -> bool:
    """Return whether the destination stored some of the records that it was sent."""
    named = len(error.records or ())
    return (error.stored and named < records) or (
        error.rejected_count is not None and error.rejected_count < (named or records)
    )
