"""What of a plan counts, if its source changed after the destination had got some of its records.

The destination is asked by the ids in the plan. What it has counts line by line, what can still be
read is sent under the plan's id, and the rest is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from tracesidecar.batch import PreparedBatch
from tracesidecar.journal import Plan, PlannedRejection, QuarantinedLine
from tracesidecar.pipeline.arrived import ArrivedRanges, Interval, merge_reached
from tracesidecar.pipeline.replay import ReplayedBatch, locate_rejected
from tracesidecar.pipeline.salvage import Salvage
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.sinks import Receipt


def salvage_records(
    context: WorkerContext, plan: Plan, replayed: ReplayedBatch, receipt: Receipt
) -> Salvage | None:
    """Return the rest of a plan of which only some ranges can be read, None if nothing counts.

    `receipt` says what the destination has of the plan's records.
    """
    return _Remains(context, plan, replayed, receipt).salvage()


class _Line(NamedTuple):
    """A line of a range: where it is, the indexes of its records, and whether all are decided."""

    interval: Interval
    records: list[int]
    is_decided: bool


class _Remains:
    """A plan of single records whose ranges cannot all be read."""

    def __init__(
        self, context: WorkerContext, plan: Plan, replayed: ReplayedBatch, receipt: Receipt
    ) -> None:
        self._context = context
        self._plan = plan
        self._made = replayed.prepared
        self._readable = replayed.readable
        self._receipt = receipt
        self._decided = frozenset({*receipt.stored, *receipt.rejected})
        self._offsets = plan.records.list_offsets()
        self._ends = list(accumulate(planned.lines for planned in plan.ranges))
        self._ranges = ArrivedRanges(context, plan, replayed.readable, lambda _segment: ("", ""))

    def salvage(self) -> Salvage | None:
        """Return what is left of the plan."""
        kept = self._find_arrived()
        reached, lost = self._ranges.advance(kept)
        made = self._made
        is_decided = len(self._decided) == self._plan.lines
        if made is None and not kept and not is_decided:
            return None
        quarantined = (made.quarantined if made else ()) + self._ranges.reject(kept)
        if is_decided:
            quarantined += self._locate_rejected()
        prepared = PreparedBatch(
            # What was decided as a whole is only committed. Of the rest, a repeat does no harm:
            # the destination knows the ids, or it has nothing of the batch.
            self._plan if is_decided else self._make_plan(kept),
            made.batch if made and not is_decided else None,
            {} if self._plan.redriven else merge_reached(made.reached if made else {}, reached),
            quarantined,
            (made.lines if made else 0) + self._count_lines(kept),
        )
        return Salvage(prepared, () if self._plan.redriven else lost)

    def _find_arrived(self) -> dict[int, list[Interval]]:
        """Return what arrived of the ranges that cannot be read: index → intervals.

        A file that may still be read goes on where the first gap is: its lines are sent again under
        their ids. Of one that may come back, only whole ranges count, because it must be recognised
        there.
        """
        found: dict[int, list[Interval]] = {}
        ended: set[int] = set()
        for index, planned in enumerate(self._plan.ranges):
            if self._readable[index]:
                continue
            intervals = list(_merge(self._intervals(index)))
            whole = [Interval(planned.start, planned.end)]
            if self._plan.redriven or self._ranges.is_away(planned):
                intervals = intervals if intervals == whole else []
            if not self._context.replay.is_over(planned.segment) and not self._plan.redriven:
                if planned.segment in ended:
                    continue
                if intervals != whole:
                    ended.add(planned.segment)
                intervals = [each for each in intervals[:1] if each.start == planned.start]
            if intervals:
                found[index] = intervals
        return found

    def _lines(self, index: int) -> list[_Line]:
        """Return the lines of a range that have records, in order.

        A line without a record belongs to the one before it, in the first place to the one after.
        """
        planned = self._plan.ranges[index]
        records: dict[int, list[int]] = {}
        for record in range(self._ends[index] - planned.lines, self._ends[index]):
            records.setdefault(self._offsets[record], []).append(record)
        starts = [planned.start, *sorted(records)[1:]]
        return [
            _Line(Interval(start, end), records[offset], self._decided.issuperset(records[offset]))
            for start, end, offset in zip(
                starts, [*starts[1:], planned.end], sorted(records), strict=False
            )
        ]

    def _intervals(self, index: int) -> Iterable[Interval]:
        """Yield what arrived of a range; of one without any record there is nothing to wait for."""
        lines = self._lines(index)
        if not lines:
            yield Interval(self._plan.ranges[index].start, self._plan.ranges[index].end)
        for line in lines:
            if line.is_decided:
                yield line.interval

    def _locate_rejected(self) -> tuple[QuarantinedLine, ...]:
        """Return the rows of the lines that the destination has rejected."""
        reasons = dict(self._receipt.rejected)
        if not reasons:
            return ()
        unread: list[PlannedRejection] = []
        for index, can_read in enumerate(self._readable):
            for line in () if can_read else self._lines(index):
                found = [reasons.pop(each) for each in line.records if each in reasons]
                if found:
                    start, end = line.interval
                    unread.append(
                        PlannedRejection(index, self._plan.sink, start, end, found[0], None)
                    )
        rows = locate_rejected(self._context, self._plan, reasons)
        return tuple(self._ranges.make_row(each) for each in unread) + rows

    def _count_lines(self, kept: dict[int, list[Interval]]) -> int:
        """Return how many lines with records arrived of ranges that cannot be read."""
        return sum(
            line.is_decided and any(start <= line.interval.start < end for start, end in found)
            for index, found in kept.items()
            for line in self._lines(index)
        )

    def _make_plan(self, kept: dict[int, list[Interval]]) -> Plan:
        """Return the plan of what is left, in case the process ends once more.

        What is sent again comes first: its records have the indexes of the batch.
        """
        plan = self._plan
        chosen = [*(index for index, can in enumerate(self._readable) if can), *kept]
        places = {index: place for place, index in enumerate(chosen)}
        ranges = tuple(plan.ranges[index] for index in chosen)
        return replace(
            plan,
            lines=sum(planned.lines for planned in ranges),
            ranges=ranges,
            redriven=tuple(plan.redriven[index] for index in chosen) if plan.redriven else (),
            records=plan.records.select(
                (self._ends[index] - plan.ranges[index].lines, self._ends[index])
                for index in chosen
            ),
            rejected=tuple(
                replace(each, range=places[each.range])
                for each in plan.rejected
                if each.range in places
            ),
        )


def _merge(intervals: Iterable[Interval]) -> Iterable[Interval]:
    """Yield intervals in order, those that meet as one."""
    last: Interval | None = None
    for each in intervals:
        if last is not None and last.end == each.start:
            last = Interval(last.start, each.end)
            continue
        if last is not None:
            yield last
        last = each
    if last is not None:
        yield last
