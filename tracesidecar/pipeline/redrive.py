"""Take up refused lines that a person asked for: read again, judged by today's rules, gathered into a batch of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracesidecar.pipeline.pieces import Pieces
from tracesidecar.pipeline.route import Route
from tracesidecar.ship.batch import BatchBuilder
from tracesidecar.ship.quarantine import QuarantineEntry


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is made of the lines asked of one sink. `refused` are (entry, reason of today); `gone` are those whose bytes are no longer there.

    `is_waiting`: the sink has yet to come to some in its ordinary way. `is_cut_off`: the batch is full and there are more.
    """

    builder: BatchBuilder
    refused: tuple[tuple[int, str], ...]
    gone: tuple[int, ...]
    is_waiting: bool
    is_cut_off: bool


def gather(asked: Sequence[QuarantineEntry], route: Route, pieces: Pieces, is_full: Callable[[BatchBuilder], bool]) -> Gathered:
    """Worker thread: fill a batch with the lines that the sink has passed."""
    builder = BatchBuilder(route.form)
    refused: list[tuple[int, str]] = []
    gone: list[int] = []
    due = [entry for entry in asked if route.has_passed(entry.line.segment, entry.line.start) or not pieces.knows(entry.line.segment)]
    for entry in due:
        if is_full(builder):
            break
        piece = pieces.line(entry.line)
        if piece is None:
            gone.append(entry.id)
        elif piece.clean.refused:
            refused.append((entry.id, piece.clean.refused[0].reason))
        else:
            builder.add_redriven(entry.id, piece, pieces.label(entry.line.segment, piece.clean.segment.path))
    is_cut_off = len(gone) + len(refused) + builder.lines < len(due)
    return Gathered(builder, tuple(refused), tuple(gone), len(due) < len(asked), is_cut_off)
