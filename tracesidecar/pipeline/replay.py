"""What to do with a plan that was written down and not committed: the process ended in between."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from tracesidecar.batch.bodies import Encoding, record_places
from tracesidecar.batch.builder import BatchBuilder, BatchSpec, Piece, PreparedBatch, quarantined
from tracesidecar.batch.manifest import decode_manifest, encode_manifest
from tracesidecar.dialects import DialectEvent
from tracesidecar.encode.jsonl import compression_of
from tracesidecar.encode.lake_layout import format_of
from tracesidecar.journal.plan import Plan, PlannedObject
from tracesidecar.journal.quarantine import QuarantinedLine
from tracesidecar.model import BEGINNING, Checkpoint, Payload, Range
from tracesidecar.pipeline.chunk_reader import ChunkReader
from tracesidecar.pipeline.event_cache import EventCache


@dataclass(frozen=True, slots=True)
class ReplaySource:
    """From what a batch is made again: clean pieces, and what they mean."""

    pieces: ChunkReader
    meanings: EventCache


@dataclass(frozen=True, slots=True)
class ReplayedBatch:
    """The planned batch once more, or what can still be had of it (`is_partial`); `built` is None
    where that is nothing.

    `is_same` tells whether the bytes are as planned.
    """

    built: PreparedBatch | None
    is_same: bool
    is_partial: bool


class ReplayedChunk(NamedTuple):
    """A piece of a plan again, with its events and the interpreter's state behind it where they are
    wanted.
    """

    piece: Piece
    events: list[DialectEvent]
    state: bytes


def is_undecided(plan: Plan, pieces: ChunkReader) -> bool:
    """Tell whether a file of the plan cannot be read now but may be found again: its lines may have
    arrived, and must not get another id.
    """
    return any(pieces.may_come_back(planned) for planned in plan.ranges)


def planned_pieces(
    plan: Plan, form: Encoding, material: ReplaySource, committed: Mapping[int, Checkpoint]
) -> Iterator[tuple[Range, ReplayedChunk | None]]:
    """Each range of a plan with its piece; None where its bytes, or earlier ones of its segment,
    are gone or changed, or a redriven line is refused again.
    """
    cursors = dict(committed)
    broken: set[int] = set()
    for planned in plan.ranges:
        segment = planned.segment
        at = BEGINNING if plan.redriven else cursors.get(segment, BEGINNING)
        piece = None if segment in broken else material.pieces.again(planned, at)
        if piece is None or (plan.redriven and piece.clean.rejected):
            if not plan.redriven:
                broken.add(segment)
            yield planned, None
            continue
        events, state = material.meanings.of(piece, at.state) if form.interprets else ([], b"")
        cursors[segment] = Checkpoint(planned.end, planned.tail, state)
        yield planned, ReplayedChunk(piece, events, state)


def rebuild(
    plan: Plan, form: BatchSpec, material: ReplaySource, committed: Mapping[int, Checkpoint]
) -> ReplayedBatch:
    """Make the planned batch again, under its own id, time, host and names."""
    if form.is_store and len(plan.objects) > 1:
        name = plan.objects[0].name
        form = replace(
            form, form=replace(form.form, compression=compression_of(name), format=format_of(name))
        )
    found = [again for _, again in planned_pieces(plan, form.form, material, committed)]
    redriven = tuple(
        entry for entry, again in zip(plan.redriven, found, strict=False) if again is not None
    )
    builder = BatchBuilder(form, redriven, clock=lambda: plan.time)
    for again in found:
        if again is not None:
            segment = again.piece.clean.segment
            too_large = builder.add(
                again.piece,
                material.pieces.label(segment.id, segment.path),
                again.events,
                again.state,
            )
            builder.refuse(refused_lines(again.piece, too_large, plan.sink, material.pieces))
    if builder.is_empty:
        return ReplayedBatch(None, is_same=False, is_partial=True)
    built = builder.close(plan)
    is_same = [each.sha256 for each in built.plan.objects[:-1]] == [
        each.sha256 for each in plan.objects[:-1]
    ]
    return ReplayedBatch(built, is_same=is_same, is_partial=any(again is None for again in found))


def as_arrived(built: PreparedBatch, plan: Plan, there: Container[str]) -> PreparedBatch:
    """The batch made again by other rules or another program, with a manifest that tells of what is
    already there as it was planned.
    """
    batch = built.batch
    if batch is None or batch.manifest is None or not plan.manifest:
        return built
    planned, made = decode_manifest(plan.manifest), decode_manifest(batch.manifest.content)
    arrived = {each.name: each for each in planned.objects if each.name in there}
    if plan.objects[-1].name in there or 0 < len(arrived) == len(planned.objects):
        return replace(
            built,
            plan=plan,
            batch=replace(batch, objects=(), manifest=planned_manifest(plan, plan.manifest)),
        )
    mixed = encode_manifest(
        msgspec.structs.replace(
            made, objects=tuple(arrived.get(each.name, each) for each in made.objects)
        )
    )
    manifest = planned_manifest(plan, mixed)
    objects = (*built.plan.objects[:-1], PlannedObject(manifest.name, manifest.planned))
    return replace(
        built,
        plan=replace(built.plan, objects=objects, manifest=mixed),
        batch=replace(batch, manifest=manifest),
    )


def planned_manifest(plan: Plan, content: bytes) -> Payload:
    """The manifest of a plan, with this content."""
    planned, sha256 = plan.objects[-1], hashlib.sha256(content).digest()
    return Payload(
        planned.name,
        content,
        sha256,
        1,
        media_type="application/json",
        planned=tuple(dict.fromkeys((*planned.sha256, sha256))),
    )


def settled_by(plan: Plan, found: Mapping[int, Checkpoint]) -> dict[int, Checkpoint]:
    """Where each segment stands once the plan counts as delivered; `found` is what was reached when
    it was read again.
    """
    if plan.redriven:
        return {}
    settled = {planned.segment: Checkpoint(planned.end, planned.tail) for planned in plan.ranges}
    return settled | {
        segment: at for segment, at in found.items() if at.offset == settled[segment].offset
    }


def refused_lines(
    piece: Piece, offsets: tuple[int, ...], sink: str, pieces: ChunkReader
) -> list[QuarantinedLine]:
    """The lines of a piece that begin at these offsets, as refused because a record of them is too
    large for the sink.
    """
    if not offsets:
        return []
    wanted = {
        index: "too_large" for index, line in enumerate(piece.places) if line.offset in offsets
    }
    refusals, sealed = pieces.places(piece, wanted)
    return [quarantined(piece.clean.segment, sink, refusal, sealed) for refusal in refusals]


def locate(
    plan: Plan,
    form: Encoding,
    refused: dict[int, str],
    material: ReplaySource,
    committed: Mapping[int, Checkpoint],
) -> tuple[QuarantinedLine, ...]:
    """Find where in the files the refused records of a batch stand: record index → reason. Where
    the bytes are gone: in which range.

    A line that became several records is refused once, for the first of its reasons.
    """
    if form.takes == "objects" and form.interprets:
        raise ValueError("a store takes objects whole")
    found: list[QuarantinedLine] = []
    first = 0
    for planned, again in planned_pieces(plan, form, material, committed):
        here = {
            index - first: reason
            for index, reason in sorted(refused.items())
            if first <= index < first + planned.lines
        }
        first += planned.lines
        if again is None:
            found += [
                material.pieces.whole(planned, plan.sink, reason)
                for reason in list(here.values())[:1]
            ]
        elif here:
            refusals, sealed = material.pieces.places(
                again.piece, _lines(again, form, plan.time, here)
            )
            found += [
                quarantined(again.piece.clean.segment, plan.sink, refusal, sealed)
                for refusal in refusals
            ]
    return tuple(found)


def _lines(
    found: ReplayedChunk, form: Encoding, at: int, records: dict[int, str]
) -> dict[int, str]:
    """Which lines of a piece the records come from: index of the line → reason."""
    if not form.interprets:
        return records
    by_offset = {line.offset: index for index, line in enumerate(found.piece.places)}
    places = record_places(form, at, found.piece.clean, found.events)
    lines: dict[int, str] = {}
    for index, reason in records.items():
        lines.setdefault(by_offset[places[index]], reason)
    return lines
