"""What a drain did not deliver."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tracesidecar.journal import Journal, QuarantinedLine
from tracesidecar.logs import printable
from tracesidecar.pipeline.worker_context import WorkerContext


@dataclass(frozen=True, slots=True)
class UndeliveredRange:
    """[offset, size) of a segment that a sink does not have, in bytes."""

    sink: str
    source: str
    path: str
    segment: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DrainResult:
    """What is left after a drain.

    `left` was not delivered in time; `torn` are last lines without a newline, which stay in their
    files. If the last scan was over in time, `has_scanned` is true; otherwise there may be more
    than `left` has.
    """

    left: tuple[UndeliveredRange, ...]
    torn: tuple[UndeliveredRange, ...]
    has_scanned: bool


def count_undelivered(
    context: WorkerContext, journal: Journal, drained: Collection[str], *, has_scanned: bool
) -> DrainResult:
    """Collect what the required sinks do not have; `drained` are those that came to their end."""
    left: list[UndeliveredRange] = []
    torn: list[UndeliveredRange] = []
    views = context.tailer.segments()
    for sink in context.intake.sinks.values():
        if not sink.options.required:
            continue
        for segment, view in views.items():
            end = sink.end(segment, view.size)
            offset = sink.find_committed_checkpoint(segment).offset
            if (
                offset < end
                and sink.takes(view.segment.source)
                and view.state not in ("lost", "spent")
            ):
                path = printable(view.segment.path)
                rest = UndeliveredRange(sink.name, view.segment.source, path, segment, offset, end)
                (torn if sink.name in drained and _is_torn(context, rest) else left).append(rest)
        left += [
            _not_redriven(sink.name, entry.line)
            for entry in journal.quarantine.load_requested(sink.name)
        ]
    return DrainResult(tuple(left), tuple(torn), has_scanned)


def _is_torn(context: WorkerContext, rest: UndeliveredRange) -> bool:
    """Return whether what is left is the beginning of one line, and can be read."""
    parts = context.tailer.read_range(rest.segment, rest.offset, rest.size)
    first = next(parts, None) if parts is not None else None
    return first is not None and b"\n" not in first


def _not_redriven(sink: str, line: QuarantinedLine) -> UndeliveredRange:
    path = printable(line.path)
    return UndeliveredRange(sink, line.source, path, line.segment, line.start, line.end)
