"""Where each byte range of a segment is, for one sink."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["delivered", "planned", "quarantined", "lost", "unread"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes [start, end) of a segment, and what has become of them."""

    start: int
    end: int
    state: State
    detail: str = ""


def pieces(
    *, size: int, delivered: int, planned: Iterable[tuple[int, int]], exceptions: Iterable[Piece]
) -> list[Piece]:
    """Cover [0, size): delivered up to an offset, planned ranges, the rest unread; quarantined and
    lost pieces stand out of all of these.
    """
    exceptions = sorted(exceptions, key=lambda piece: piece.start)
    end = max([size, delivered, *(piece.end for piece in exceptions)])
    covered: list[Piece] = []
    at = 0
    for exception in exceptions:
        if exception.start < at:
            continue
        covered += _plain(at, exception.start, delivered, planned)
        covered.append(exception)
        at = exception.end
    return covered + _plain(at, end, delivered, planned)


def _plain(start: int, end: int, delivered: int, planned: Iterable[tuple[int, int]]) -> list[Piece]:
    marks: list[tuple[int, int, State]] = [
        (0, delivered, "delivered"),
        *((first, last, "planned") for first, last in sorted(planned)),
    ]
    found: list[Piece] = []
    at = start
    for first, last, state in marks:
        low, high = max(first, at), min(last, end)
        if low >= high:
            continue
        if low > at:
            found.append(Piece(at, low, "unread"))
        found.append(Piece(low, high, state))
        at = high
    return [*found, Piece(at, end, "unread")] if at < end else found
