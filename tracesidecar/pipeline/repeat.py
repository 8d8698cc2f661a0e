"""What to do with a plan that was written down and not committed: the process ended in between."""

from __future__ import annotations

from dataclasses import dataclass

from tracesidecar.model import BEGINNING, Checkpoint
from tracesidecar.pipeline.pieces import Pieces
from tracesidecar.ship.batch import BatchBuilder, BatchForm, Built, Piece, quarantined
from tracesidecar.ship.plan import Plan
from tracesidecar.ship.quarantine import QuarantinedLine


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The planned batch once more. `built` is None where its source changed meanwhile; `is_same` tells whether the bytes are as planned."""

    built: Built | None
    is_same: bool


def planned_pieces(plan: Plan, pieces: Pieces, committed: dict[int, Checkpoint]) -> list[Piece] | None:
    """All pieces of a plan in its order; None where some source bytes are gone or changed."""
    cursors = dict(committed)
    found: list[Piece] = []
    for planned in plan.ranges:
        again = pieces.again(planned, cursors.get(planned.segment, BEGINNING))
        if again is None:
            return None
        found += again
        cursors[planned.segment] = Checkpoint(planned.end, planned.tail)
    return found


def rebuild(plan: Plan, form: BatchForm, pieces: Pieces, committed: dict[int, Checkpoint]) -> Rebuilt:
    """Make the planned batch again, under its own id, time and host."""
    found = planned_pieces(plan, pieces, committed)
    if found is None:
        return Rebuilt(None, is_same=False)
    builder = BatchBuilder(form, plan.redriven)
    for piece in found:
        builder.add(piece, pieces.label(piece.clean.segment.id, piece.clean.segment.path))
    built = builder.close(plan.time, plan)
    return Rebuilt(built, is_same=built.plan.objects[0].sha256 == plan.objects[0].sha256)


def settled_by(plan: Plan) -> dict[int, Checkpoint]:
    """Where each segment stands once the plan counts as delivered."""
    if plan.redriven:
        return {}
    return {planned.segment: Checkpoint(planned.end, planned.tail) for planned in plan.ranges}


def locate(plan: Plan, refused: dict[int, str], pieces: Pieces, committed: dict[int, Checkpoint]) -> tuple[QuarantinedLine, ...]:
    """Find where in the files the refused records of a batch stand: record index → reason."""
    found: list[QuarantinedLine] = []
    first = 0
    for piece in planned_pieces(plan, pieces, committed) or ():
        wanted = {index - first: reason for index, reason in refused.items() if first <= index < first + piece.clean.lines}
        refusals, sealed = pieces.places(piece, wanted)
        found += [quarantined(piece.clean.segment, plan.sink, refusal, sealed) for refusal in refusals]
        first += piece.clean.lines
    return tuple(found)
