"""What to do with a plan that was written down and not committed: the process ended in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tracesidecar.encode.jsonl import compression_of
from tracesidecar.model import BEGINNING, Checkpoint, Range
from tracesidecar.pipeline.pieces import Pieces
from tracesidecar.ship.batch import BatchBuilder, BatchForm, Built, Piece, quarantined
from tracesidecar.ship.plan import Plan
from tracesidecar.ship.quarantine import QuarantinedLine


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The planned batch once more, or what can still be had of it (`is_partial`); `built` is None where that is nothing.

    `is_same` tells whether the bytes are as planned.
    """

    built: Built | None
    is_same: bool
    is_partial: bool


def is_undecided(plan: Plan, pieces: Pieces) -> bool:
    """Tell whether a file of the plan cannot be read now but may be found again: its lines may have arrived, and must not get another id."""
    return any(pieces.may_come_back(planned) for planned in plan.ranges)


def planned_pieces(plan: Plan, pieces: Pieces, committed: dict[int, Checkpoint]) -> Iterator[tuple[Range, list[Piece] | None]]:
    """Each range of a plan with its pieces; None where its source bytes, or earlier ones of its segment, are gone or changed."""
    cursors = dict(committed)
    broken: set[int] = set()
    for planned in plan.ranges:
        segment = planned.segment
        again = None if segment in broken else pieces.again(planned, cursors.get(segment, BEGINNING))
        if again is None and not plan.redriven:
            broken.add(segment)
        cursors[segment] = Checkpoint(planned.end, planned.tail)
        yield planned, again


def rebuild(plan: Plan, form: BatchForm, pieces: Pieces, committed: dict[int, Checkpoint]) -> Rebuilt:
    """Make the planned batch again, under its own id, time, host and name."""
    if form.is_store:
        form = replace(form, compression=compression_of(plan.objects[0].name))
    found = list(planned_pieces(plan, pieces, committed))
    redriven = tuple(entry for entry, (_, again) in zip(plan.redriven, found, strict=False) if again is not None)
    builder = BatchBuilder(form, redriven)
    for _, again in found:
        for piece in again or ():
            builder.add(piece, pieces.label(piece.clean.segment.id, piece.clean.segment.path))
    if builder.is_empty:
        return Rebuilt(None, is_same=False, is_partial=True)
    built = builder.close(plan.time, plan)
    return Rebuilt(built, is_same=built.plan.objects[0].sha256 == plan.objects[0].sha256, is_partial=any(again is None for _, again in found))


def settled_by(plan: Plan) -> dict[int, Checkpoint]:
    """Where each segment stands once the plan counts as delivered."""
    if plan.redriven:
        return {}
    return {planned.segment: Checkpoint(planned.end, planned.tail) for planned in plan.ranges}


def locate(plan: Plan, refused: dict[int, str], pieces: Pieces, committed: dict[int, Checkpoint]) -> tuple[QuarantinedLine, ...]:
    """Find where in the files the refused records of a batch stand: record index → reason. Where the bytes are gone: in which range."""
    found: list[QuarantinedLine] = []
    first = 0
    for planned, again in planned_pieces(plan, pieces, committed):
        if again is None:
            reasons = [refused[index] for index in range(first, first + planned.lines) if index in refused]
            found += [pieces.whole(planned, plan.sink, reason) for reason in reasons[:1]]
            first += planned.lines
        for piece in again or ():
            lines = piece.clean.lines
            wanted = {index - first: reason for index, reason in refused.items() if first <= index < first + lines}
            refusals, sealed = pieces.places(piece, wanted)
            found += [quarantined(piece.clean.segment, plan.sink, refusal, sealed) for refusal in refusals]
            first += lines
    return tuple(found)
