"""Edits of one line, and how to apply and combine them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Edit(NamedTuple):
    """Replace the raw bytes [start, end) by `new`; `rules` are the rules that asked for it."""

    start: int
    end: int
    new: bytes
    rules: tuple[str, ...]


class EditedLine(NamedTuple):
    """A line after its edits, and the edits in order (without any, it is the same object)."""

    line: bytes
    edits: Sequence[Edit]


def splice(raw: bytes, edits: Sequence[Edit]) -> EditedLine:
    """Apply the edits; every other byte stays as it was."""
    if not edits:
        return EditedLine(raw, ())
    pieces: list[bytes] = []
    last = 0
    ordered = sorted(edits)
    for start, end, new, _ in ordered:
        pieces += (raw[last:start], new)
        last = end
    pieces.append(raw[last:])
    return EditedLine(b"".join(pieces), ordered)


def chain(first: EditedLine, second: EditedLine) -> EditedLine:
    """Combine two rounds of edits into one; `second` was made on the result of `first`."""
    if not first.edits:
        return second
    shifts = [0, *accumulate(len(new) - (end - start) for start, end, new, _ in first.edits)]
    starts = [edit.start + shift for edit, shift in zip(first.edits, shifts, strict=False)]
    return EditedLine(
        second.line,
        [*first.edits, *(_in_original(starts, shifts, edit) for edit in second.edits)],
    )


def _in_original(starts: Sequence[int], shifts: Sequence[int], later: Edit) -> Edit:
    """Return a later edit with its offsets in the original line, as exactly as they can be known.

    `starts` are the offsets of the earlier edits in the edited line, `shifts` how far each of them
    moved what follows.
    """
    shift = shifts[bisect_left(starts, later.start)]
    return Edit(later.start - shift, later.end - shift, later.new, later.rules)
