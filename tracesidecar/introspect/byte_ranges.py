"""Where each byte range of a segment is, for one sink."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

RangeState = Literal["delivered", "planned", "quarantined", "lost", "unread", "unknown"]


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes [start, end) of a segment, and what has become of them.

    They are unknown if the file is forgotten, and nothing says that the sink had them.

    The field names are keys of `explain --json`.
    """

    start: int
    end: int
    state: RangeState
    detail: str = ""


def cover_segment(
    *,
    size: int,
    delivered: int,
    planned: Iterable[tuple[int, int]],
    exceptions: Iterable[ByteRange],
) -> list[ByteRange]:
    """Return the ranges that make up [0, size), in order.

    Bytes before `delivered` are delivered, `planned` ranges are being sent, and the rest is unread.
    The exceptions, quarantined or lost ranges, take precedence over all of these.
    """
    exceptions = sorted(exceptions, key=lambda exception: exception.start)
    end = max([size, delivered, *(exception.end for exception in exceptions)])
    covered: list[ByteRange] = []
    at = 0
    for exception in exceptions:
        if exception.start < at:
            continue
        covered += _cover_gap(at, exception.start, delivered, planned)
        covered.append(exception)
        at = exception.end
    return covered + _cover_gap(at, end, delivered, planned)


def _cover_gap(
    start: int, end: int, delivered: int, planned: Iterable[tuple[int, int]]
) -> list[ByteRange]:
    """Return the ranges of [start, end), in which there is no exception."""
    marks: list[tuple[int, int, RangeState]] = [
        (0, delivered, "delivered"),
        *((first, last, "planned") for first, last in sorted(planned)),
    ]
    covered: list[ByteRange] = []
    at = start
    for first, last, state in marks:
        low, high = max(first, at), min(last, end)
        if low >= high:
            continue
        if low > at:
            covered.append(ByteRange(at, low, "unread"))
        covered.append(ByteRange(low, high, state))
        at = high
    return [*covered, ByteRange(at, end, "unread")] if at < end else covered
