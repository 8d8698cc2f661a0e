"""Take up refused lines that a person asked for: read again, judged by today's rules, gathered into
a batch of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracesidecar.batch.builder import BatchBuilder
from tracesidecar.journal.quarantine import QuarantineEntry
from tracesidecar.pipeline.chunk_reader import Absence
from tracesidecar.pipeline.replay import ReplaySource
from tracesidecar.pipeline.sink_state import SinkState


@dataclass(frozen=True, slots=True)
class RedriveBatch:
    """What is made of the lines asked of one sink. `refused` are (entry, reason of today); `gone`
    are those whose bytes are no longer there.

    `is_waiting`: the sink has yet to come to some in its ordinary way, or their file cannot be
    reached now. `is_cut_off`: the batch is full and there are more.
    """

    builder: BatchBuilder
    refused: tuple[tuple[int, str], ...]
    gone: tuple[int, ...]
    is_waiting: bool
    is_cut_off: bool


def gather(
    asked: Sequence[QuarantineEntry],
    route: SinkState,
    material: ReplaySource,
    is_full: Callable[[BatchBuilder], bool],
) -> RedriveBatch:
    """Worker thread: fill a batch with the lines that the sink has passed."""
    builder, pieces = BatchBuilder(route.form), material.pieces
    refused: list[tuple[int, str]] = []
    gone: list[int] = []
    due = [
        entry
        for entry in asked
        if route.has_passed(entry.line.segment, entry.line.start)
        or pieces.is_over(entry.line.segment)
    ]
    taken = unreachable = 0
    for entry in due:
        if is_full(builder):
            break
        taken += 1
        piece = pieces.line(entry.line)
        if piece is Absence.FOR_NOW:
            unreachable += 1
        elif isinstance(piece, Absence):
            gone.append(entry.id)
        elif piece.clean.rejected:
            refused.append((entry.id, piece.clean.rejected[0].reason))
        else:
            events = material.meanings.of(piece, b"")[0] if route.form.form.interprets else ()
            if BatchBuilder(route.form).add(piece, "", events):
                refused.append((entry.id, "too_large"))
            else:
                builder.add_redriven(
                    entry.id,
                    piece,
                    pieces.label(entry.line.segment, piece.clean.segment.path),
                    events,
                )
    return RedriveBatch(
        builder, tuple(refused), tuple(gone), len(due) - unreachable < len(asked), taken < len(due)
    )
