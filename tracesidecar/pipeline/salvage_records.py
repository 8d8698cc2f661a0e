"""What of a plan counts, if its source changed after the destination had got some of its records.

The destination is asked by the ids in the plan. What it has counts line by line, what can still be
read is sent under the plan's id, and the rest is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import accumulate

from tracesidecar.batch import PreparedBatch
from tracesidecar.journal import Plan
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


class _Remains:
    """A plan of single records, of which not all ranges can be read."""

    def __init__(
        self, context: WorkerContext, plan: Plan, replayed: ReplayedBatch, receipt: Receipt
    ) -> None:
        self._context = context
        self._plan = plan
        self._made = replayed.prepared
        self._readable = replayed.readable
        self._receipt = receipt
        self._decided: AbstractSet[int] = receipt.stored | receipt.rejected.keys()
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
        if is_decided and self._receipt.rejected:
            quarantined += locate_rejected(self._context, self._plan, dict(self._receipt.rejected))
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

    def _lines(self, index: int) -> dict[int, bool]:
        """Return the lines of a range that have records: offset → whether all of them are decided.

        They are in order.
        """
        lines: dict[int, bool] = {}
        first = self._ends[index] - self._plan.ranges[index].lines
        for record in range(first, self._ends[index]):
            offset = self._offsets[record]
            lines[offset] = lines.get(offset, True) and record in self._decided
        return dict(sorted(lines.items()))

    def _intervals(self, index: int) -> Iterable[Interval]:
        """Yield what arrived of a range, line by line.

        A line without a record belongs to the one before it, in the first place to the one after
        it; of a range without any record there is nothing to wait for.
        """
        planned, lines = self._plan.ranges[index], self._lines(index)
        if not lines:
            yield Interval(planned.start, planned.end)
            return
        starts = [planned.start, *list(lines)[1:]]
        for start, end, has_arrived in zip(
            starts, [*starts[1:], planned.end], lines.values(), strict=True
        ):
            if has_arrived:
                yield Interval(start, end)

    def _count_lines(self, kept: dict[int, list[Interval]]) -> int:
        """Return how many lines with records arrived of ranges that cannot be read."""
        return sum(
            any(start <= max(offset, self._plan.ranges[index].start) < end for start, end in found)
            for index, found in kept.items()
            for offset in self._lines(index)
        )

    def _make_plan(self, kept: dict[int, list[Interval]]) -> Plan:
        """Return the plan of what is left, for the case that the process ends once more.

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
