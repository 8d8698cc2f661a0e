"""A file was rewritten while a batch was being sent: what arrived counts where the file goes on.

By then the file is another segment, which begins with the unchanged part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from tracesidecar.journal import LostBytes, RepeatedBytes
from tracesidecar.model import Checkpoint
from tracesidecar.pipeline.worker_context import WorkerContext


class Carried(NamedTuple):
    """What a commit has to say with the segments that go on elsewhere.

    `reached` has these, too, `lost` is what cannot be read there either.
    """

    reached: dict[int, Checkpoint]
    lost: tuple[LostBytes, ...]
    repeats: tuple[RepeatedBytes, ...] = ()


def carry_over(
    context: WorkerContext,
    sink: str,
    reached: Mapping[int, Checkpoint],
    lost: tuple[LostBytes, ...],
) -> Carried:
    """Let a sink go on, in rewritten files, after what it has of them.

    Where something before that did not arrive but can still be read, it goes on there: what arrived
    after it is read once more.
    """
    cursors, tailer = context.intake.sinks[sink], context.tailer
    carried, repeats = dict(reached), list[RepeatedBytes]()
    for former, at in reached.items():
        successor = tailer.find_successor(former)
        if successor is None:
            continue
        segment, unchanged = successor
        end = min(at.offset, unchanged)
        gaps = [each for each in lost if each.segment == former and each.start < end]
        offset = min([end, *(gap.start for gap in gaps)])
        known = carried.get(segment) or cursors.find_committed_checkpoint(segment)
        if known.offset < offset:  # else the batch has more of the successor, too
            state = at.state if offset == at.offset else b""
            carried[segment] = replace(tailer.find_checkpoint(segment, offset), state=state)
        lost = tuple(_cut(lost, former, unchanged))
        path = tailer.segments()[segment].segment.path
        repeats += (
            RepeatedBytes(sink, segment, path, start, stop)
            for start, stop in _find_between(gaps, offset, end)
        )
    return Carried(carried, lost, tuple(repeats))


def _find_between(gaps: Iterable[LostBytes], start: int, end: int) -> Iterable[tuple[int, int]]:
    """Yield the parts of [start, end) that are in no gap."""
    for gap in sorted(gaps, key=lambda each: each.start):
        if start < gap.start:
            yield start, gap.start
        start = max(start, gap.start + gap.bytes)
    if start < end:
        yield start, end


def _cut(lost: Iterable[LostBytes], former: int, unchanged: int) -> Iterable[LostBytes]:
    """Yield what is lost of a segment after its unchanged beginning, and of others."""
    for each in lost:
        if each.segment != former or each.start >= unchanged:
            yield each
        elif each.start + each.bytes > unchanged:
            bytes_after = each.start + each.bytes - unchanged
            yield replace(each, start=unchanged, bytes=bytes_after)
