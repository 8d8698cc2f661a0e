"""Redrive: read rejected lines again that a person asked for, and judge them by today's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracesidecar.batch import BatchBuilder, PreparedBatch
from tracesidecar.journal import QuarantineEntry
from tracesidecar.pipeline.replay_reader import Absence
from tracesidecar.pipeline.worker_context import WorkerContext


@dataclass(frozen=True, slots=True)
class RedriveBatch:
    """What became of the lines that were requested for one sink.

    `prepared` has those that pass today, None if there are none. `rejected` are (entry, reason of
    today); `gone` are the entries whose bytes no longer exist. `is_waiting`: the sink has not come
    to some lines yet, or their file cannot be reached now. `has_more`: the batch was full before
    all lines were in it.
    """

    prepared: PreparedBatch | None
    rejected: tuple[tuple[int, str], ...]
    gone: tuple[int, ...]
    is_waiting: bool
    has_more: bool


def gather(context: WorkerContext, requested: Sequence[QuarantineEntry], name: str) -> RedriveBatch:
    """Fill and close a batch with the requested lines that the sink has passed already."""
    sink, replay = context.intake.sinks[name], context.replay
    builder = BatchBuilder(sink.spec, capacity=sink.capacity)
    rejected: list[tuple[int, str]] = []
    gone: list[int] = []
    due = [
        entry
        for entry in requested
        if sink.has_committed(entry.line.segment, entry.line.start)
        or replay.is_over(entry.line.segment)
    ]
    tried = unreachable = 0
    for entry in due:
        if builder.is_full:
            break
        tried += 1
        clean = replay.read_line(entry.line)
        if clean is Absence.UNREACHABLE:
            unreachable += 1
        elif isinstance(clean, Absence):
            gone.append(entry.id)
        elif clean.rejected:
            rejected.append((entry.id, clean.rejected[0].reason))
        else:
            events = context.events.interpret(clean, b"")[0] if sink.interprets else ()
            unencodable = BatchBuilder(sink.spec, is_careful=True).add(clean, "", events)
            if unencodable:
                rejected.append((entry.id, unencodable[0].reason))
            else:
                label = context.labels.label(clean.segment.path)
                builder.add_redriven(entry.id, clean, label, events)
    return RedriveBatch(
        None if builder.is_empty else builder.close(),
        tuple(rejected),
        tuple(gone),
        is_waiting=len(due) - unreachable < len(requested),
        has_more=tried < len(due),
    )


def release_redriven(context: WorkerContext, sealed: frozenset[str]) -> None:
    """Release what only the redriven lines needed: their files, and these sealed files."""
    context.intake.retain_rejected()
    context.locator.discard_sealed(sealed)
