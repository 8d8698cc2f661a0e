"""Replay: what to do with a plan that was written and not committed, because the process ended."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from tracesidecar.batch import (
    BatchBuilder,
    Encoding,
    PartitionKey,
    PreparedBatch,
    decode_manifest,
    encode_manifest,
    record_offsets,
)
from tracesidecar.dialects import DialectEvent
from tracesidecar.encode import compression_of, format_of, partition_of
from tracesidecar.journal import Plan, PlannedObject, QuarantinedLine
from tracesidecar.model import BEGINNING, Checkpoint, CleanChunk, Payload, Range
from tracesidecar.pipeline.worker_context import WorkerContext


@dataclass(frozen=True, slots=True)
class ReplayedBatch:
    """A planned batch, made again from the files.

    `readable` says for each range whether it could be read; `prepared` is None if none could.
    `is_same` tells whether the objects have the planned bytes.
    """

    prepared: PreparedBatch | None
    is_same: bool
    readable: tuple[bool, ...]

    @property
    def is_partial(self) -> bool:
        """Return whether some ranges could not be read."""
        return not all(self.readable)


@dataclass(frozen=True, slots=True)
class ReplayedChunk:
    """A chunk of a plan; if they are wanted, with its events and the state after it."""

    clean: CleanChunk
    events: Sequence[DialectEvent]
    state: bytes


def is_undecided(context: WorkerContext, plan: Plan, *, is_patient: bool) -> bool:
    """Return whether a file of the plan cannot be read now but may be found again.

    Its lines may have arrived, so they must not be sent under another id meanwhile. A
    patient caller also waits for a file system that is not mounted.
    """
    return any(context.replay.may_come_back(each, is_patient=is_patient) for each in plan.ranges)


def replay_chunks(
    context: WorkerContext, plan: Plan, encoding: Encoding
) -> Iterator[tuple[Range, ReplayedChunk | None]]:
    """Yield each range of a plan with its chunk.

    The chunk is None if its bytes, or earlier ones of its segment, are gone or have changed, or if
    a redriven line is rejected again.
    """
    committed = context.intake.sinks[plan.sink].find_committed_checkpoint
    cursors: dict[int, Checkpoint] = {}
    broken: set[int] = set()
    for planned in plan.ranges:
        segment = planned.segment
        at = BEGINNING if plan.redriven else cursors.get(segment) or committed(segment)
        clean = None if segment in broken else context.replay.read_range(planned, at)
        if clean is None or (plan.redriven and clean.rejected):
            if not plan.redriven:
                broken.add(segment)
            yield planned, None
            continue
        events, state = (
            context.events.interpret(clean, at.state, schema=plan.schema)
            if encoding.interprets
            else ([], b"")
        )
        cursors[segment] = Checkpoint(planned.end, planned.tail, state)
        yield planned, ReplayedChunk(clean, events, state)


def rebuild(context: WorkerContext, plan: Plan) -> ReplayedBatch:
    """Make the planned batch again, under its own id, time, host and names."""
    spec = context.intake.sinks[plan.sink].spec
    if spec.is_store and len(plan.objects) > 1:
        name = plan.objects[0].name
        spec = replace(spec, compression=compression_of(name), format=format_of(name))
    chunks = [chunk for _, chunk in replay_chunks(context, plan, spec)]
    redriven = tuple(
        entry for entry, chunk in zip(plan.redriven, chunks, strict=False) if chunk is not None
    )
    is_as_planned = plan.fingerprint == spec.fingerprint and None not in chunks
    builder = BatchBuilder(
        spec,
        redriven,
        # A row that moved to another object could be in both, or in none of those that arrived.
        planned=None if is_as_planned else _find_partitions(plan),
        is_careful=True,
        clock=lambda: plan.time,
    )
    for chunk in chunks:
        if chunk is not None:
            if not plan.redriven:
                context.count(chunk.clean)
            clean, segment = chunk.clean, chunk.clean.segment
            label = context.labels.label(segment.path)
            rejected = builder.add(clean, label, chunk.events, chunk.state)
            builder.quarantine(context.locator.quarantine_rejected(clean, rejected, plan.sink))
    readable = tuple(chunk is not None for chunk in chunks)
    if builder.is_empty:
        return ReplayedBatch(None, is_same=False, readable=readable)
    prepared = builder.close(plan)
    is_same = [each.sha256 for each in prepared.plan.objects[:-1]] == [
        each.sha256 for each in plan.objects[:-1]
    ]
    return ReplayedBatch(prepared, is_same=is_same, readable=readable)


def _find_partitions(plan: Plan) -> frozenset[PartitionKey]:
    """Return the partitions of the objects of a plan."""
    found = (partition_of(each.name) for each in plan.objects)
    return frozenset(PartitionKey(*key) for key in found if key is not None)


def adopt_stored(prepared: PreparedBatch, plan: Plan, stored: Container[str]) -> PreparedBatch:
    """Return the batch with a manifest that describes what the store already has, as planned.

    The batch was made again by other rules or another version of the program; `stored` are the
    names of the plan's objects that exist.
    """
    batch = prepared.batch
    if batch is None or batch.manifest is None or not plan.manifest:
        return prepared
    planned, made = decode_manifest(plan.manifest), decode_manifest(batch.manifest.content)
    arrived = {each.name: each for each in planned.objects if each.name in stored}
    if plan.objects[-1].name in stored or 0 < len(arrived) == len(planned.objects):
        return replace(
            prepared,
            plan=plan,
            batch=replace(batch, objects=(), manifest=make_planned_manifest(plan, plan.manifest)),
        )
    mixed = encode_manifest(
        msgspec.structs.replace(
            made, objects=tuple(arrived.get(each.name, each) for each in made.objects)
        )
    )
    manifest = make_planned_manifest(plan, mixed)
    objects = (*prepared.plan.objects[:-1], PlannedObject(manifest.name, manifest.planned))
    return replace(
        prepared,
        plan=replace(prepared.plan, objects=objects, manifest=mixed),
        batch=replace(batch, manifest=manifest),
    )


def make_planned_manifest(plan: Plan, content: bytes) -> Payload:
    """Return the manifest object of a plan, with this content."""
    planned, sha256 = plan.objects[-1], hashlib.sha256(content).digest()
    return Payload(
        planned.name,
        content,
        sha256,
        1,
        media_type="application/json",
        planned=tuple(dict.fromkeys((*planned.sha256, sha256))),
    )


def locate_rejected(
    context: WorkerContext, plan: Plan, rejected: dict[int, str]
) -> tuple[QuarantinedLine, ...]:
    """Find where in the files the rejected records of a batch stand: record index → reason.

    If the bytes are gone, the whole range is quarantined. A line that became several records is
    rejected once, for the first of its reasons.
    """
    spec = context.intake.sinks[plan.sink].spec
    if spec.is_store and spec.interprets:
        raise ValueError("a store takes objects whole")
    found: list[QuarantinedLine] = []
    first = 0
    for planned, chunk in replay_chunks(context, plan, spec):
        here = {
            index - first: reason
            for index, reason in sorted(rejected.items())
            if first <= index < first + planned.lines
        }
        first += planned.lines
        if not here:
            continue
        if chunk is None:
            reason = next(iter(here.values()))
            found.append(context.replay.quarantine_range(planned, plan.sink, reason))
        else:
            lines = _lines_of_records(chunk, spec, plan.time, here)
            found += context.locator.quarantine_lines(chunk.clean, lines, plan.sink)
    return tuple(found)


def _lines_of_records(
    chunk: ReplayedChunk, encoding: Encoding, at: int, records: dict[int, str]
) -> dict[int, str]:
    """Return the lines of a chunk from which records come: index of the line → reason."""
    if not encoding.interprets:
        return records
    by_offset = {line.offset: index for index, line in enumerate(chunk.clean.positions)}
    offsets = record_offsets(encoding, at, chunk.clean, chunk.events)
    lines: dict[int, str] = {}
    for index, reason in records.items():
        lines.setdefault(by_offset[offsets[index]], reason)
    return lines
