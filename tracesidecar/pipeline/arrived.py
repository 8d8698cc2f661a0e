"""How far a sink gets in its segments by what arrived of a plan that cannot be read again whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tracesidecar.journal import LostBytes, Plan, PlannedRejection, QuarantinedLine
from tracesidecar.model import Checkpoint, Range, Segment
from tracesidecar.pipeline.worker_context import WorkerContext


class Interval(NamedTuple):
    """The bytes [start, end) of a segment."""

    start: int
    end: int


class ArrivedRanges:
    """What arrived of the ranges of a plan, as offsets, losses and rows of the quarantine.

    `readable` says of each range whether it can be read again. `describe` names the source and the
    path of a segment that the tailer does not know any more.
    """

    def __init__(
        self,
        context: WorkerContext,
        plan: Plan,
        readable: Sequence[bool],
        describe: Callable[[int], tuple[str, str]],
    ) -> None:
        self._context = context
        self._plan = plan
        self._readable = readable
        self._describe = describe

    def is_away(self, planned: Range) -> bool:
        """Return whether the file may be back some day: then it must be read from a known place."""
        view = self._context.tailer.segments().get(planned.segment)
        return view is not None and view.state == "away"

    def advance(
        self, arrived: Mapping[int, Iterable[Interval]]
    ) -> tuple[dict[int, Checkpoint], tuple[LostBytes, ...]]:
        """Return where the segments are after what arrived, and the gaps before that as lost.

        `arrived` are the intervals of some ranges (index in the plan → intervals), in order.
        """
        at: dict[int, int] = {}
        for index, planned in enumerate(self._plan.ranges):
            if self._readable[index]:
                at[planned.segment] = planned.end
            else:
                at.setdefault(planned.segment, self._find_offset(planned))
        reached: dict[int, Checkpoint] = {}
        lost: list[LostBytes] = []
        for index, intervals in arrived.items():
            planned = self._plan.ranges[index]
            for start, end in intervals:
                if start > at.setdefault(planned.segment, start):
                    lost.append(self._lose(planned.segment, at[planned.segment], start))
                at[planned.segment] = max(at[planned.segment], end)
                reached[planned.segment] = (
                    Checkpoint(planned.end, planned.tail)
                    if end == planned.end
                    else self._context.tailer.find_checkpoint(planned.segment, end)
                )
        return reached, tuple(lost)

    def reject(self, arrived: Mapping[int, Iterable[Interval]]) -> tuple[QuarantinedLine, ...]:
        """Return the rows of the lines that were rejected among what arrived.

        Only of ranges that cannot be read: of others, reading tells.
        """
        return tuple(
            self.make_row(each)
            for each in self._plan.rejected
            if not self._readable[each.range]
            and any(start <= each.start < end for start, end in arrived.get(each.range, ()))
        )

    def make_row(self, rejection: PlannedRejection) -> QuarantinedLine:
        """Return the row of a line that was rejected."""
        id_ = self._plan.ranges[rejection.range].segment
        segment, (source, path) = self._segment(id_), self._name(id_)
        return QuarantinedLine(
            id_,
            rejection.sink,
            rejection.start,
            rejection.end,
            source,
            path,
            segment.generation if segment else 0,
            rejection.reason,
            rejection.digest,
            rejection.sealed,
            rejection.sealed_at,
        )

    def _find_offset(self, planned: Range) -> int:
        """Return where the sink is in the segment of a range."""
        sink = self._context.intake.sinks[self._plan.sink]
        return sink.find_committed_checkpoint(planned.segment).offset

    def _lose(self, segment: int, start: int, end: int) -> LostBytes:
        source, path = self._name(segment)
        return LostBytes(segment, source, path, start, end - start, "changed", sink=self._plan.sink)

    def _name(self, id_: int) -> tuple[str, str]:
        segment = self._segment(id_)
        return (segment.source, segment.path) if segment else self._describe(id_)

    def _segment(self, id_: int) -> Segment | None:
        view = self._context.tailer.segments().get(id_)
        return None if view is None else view.segment


def merge_reached(
    made: Mapping[int, Checkpoint], arrived: Mapping[int, Checkpoint]
) -> dict[int, Checkpoint]:
    """Return the furthest checkpoint of each segment.

    What was `made` again from the file has the interpreter's state, which the plan does not.
    """
    return {
        segment: max(
            (each[segment] for each in (made, arrived) if segment in each),
            key=lambda checkpoint: checkpoint.offset,
        )
        for segment in {**made, **arrived}
    }
