"""The commit protocol: plan, send and commit a batch; and finish what was not committed."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ParamSpec

import structlog

from tracesidecar.batch import PreparedBatch
from tracesidecar.errors import StateUnavailable
from tracesidecar.journal import Commit, Journal, LostBytes, Plan, QuarantinedLine, RepeatedBytes
from tracesidecar.metrics import CounterKey, Metrics
from tracesidecar.model import Checkpoint
from tracesidecar.pipeline.losses import report_losses
from tracesidecar.pipeline.replay import (
    ReplayedBatch,
    adopt_stored,
    is_undecided,
    locate_rejected,
    rebuild,
)
from tracesidecar.pipeline.salvage import Salvage, salvage
from tracesidecar.pipeline.salvage_records import salvage_records
from tracesidecar.pipeline.sink_state import SinkPhase, SinkState
from tracesidecar.pipeline.successors import Carried, carry_over
from tracesidecar.pipeline.worker_context import MARKED_AT_ONCE, Landmarks, WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread
from tracesidecar.sanitize import printable
from tracesidecar.sinks import Receipt, RecordKeeper, Store

log = structlog.get_logger()
P = ParamSpec("P")

PAUSE_SECONDS = 1.0
"""How long to wait for a journal that cannot be written, or for a file that may come back."""

AWAY_SECONDS = 120.0
"""How long a plan waits for a file system that is away, while other files wait for the plan."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What the journal has of a batch now: the checkpoints reached, and the lines rejected."""

    reached: Mapping[int, Checkpoint]
    quarantined: tuple[QuarantinedLine, ...] = ()


class Shipper:
    """Brings batches to their sinks, with the journal before and after. For the event loop."""

    def __init__(
        self,
        journal: Journal,
        metrics: Metrics,
        worker: WorkerThread[WorkerContext],
        *,
        scan: Callable[[], Awaitable[object]],
        at: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`scan` looks at all files; `at` is called at named points, where tests may end it all.

        `clock` gives seconds and never goes back.
        """
        self._journal = journal
        self._metrics = metrics
        self._worker = worker
        self._scan = scan
        self._at = at
        self._clock = clock

    async def ship(
        self,
        sink: SinkState,
        prepared: PreparedBatch,
        lost: tuple[LostBytes, ...] = (),
        *,
        landmarks: Landmarks | None = None,
    ) -> Committed:
        """Plan, send, commit; `lost` is passed over by the commit.

        `landmarks` are those of the batch's first files, if they were made with it.
        """
        rejected: tuple[QuarantinedLine, ...] = ()
        if prepared.batch is not None:
            marks = await self._make_landmarks(prepared, landmarks)
            await self._write(sink, self._journal.plans.save, prepared.plan, marks)
            self._at("planned")
            self._at("sending")
            records = await sink.delivery.send(prepared.batch)
            self._at("sent")
            if records:
                reasons = {record.index: record.reason for record in records}
                rejected = await self._worker.run(locate_rejected, prepared.plan, reasons)
        quarantined = prepared.quarantined + rejected
        carried = await self._worker.run(carry_over, sink.name, prepared.reached, lost)
        await self._commit(sink, prepared, quarantined, carried)
        # a scan may have found a file rewritten while its batch was being committed
        late = await self._worker.run(carry_over, sink.name, prepared.reached, lost)
        if late.reached != carried.reached:
            await self._write(sink, self._journal.sinks.move, sink.name, late.reached)
            fresh = [each for each in late.repeats if each not in carried.repeats]
            await self._write(sink, self._journal.repeats.add, fresh)
            self._report_repeats(fresh)
        return Committed(late.reached, quarantined)

    async def _make_landmarks(self, prepared: PreparedBatch, made: Landmarks | None) -> Landmarks:
        """Make the landmarks of the files in a batch, some at a time."""
        segments, landmarks = list(prepared.reached), dict(made or {})
        for first in range(0 if made is None else MARKED_AT_ONCE, len(segments), MARKED_AT_ONCE):
            some = segments[first : first + MARKED_AT_ONCE]
            landmarks |= await self._worker.run(WorkerContext.mark, some)
        return landmarks

    async def replay(self, sink: SinkState, plan: Plan) -> Committed:
        """Finish a plan: send the same bytes under the same id, or report that they differ.

        Waits as long as a file of the plan may still be found again, but only so long for a file
        system that is away.
        """
        replayed = await self._rebuild(sink, plan)
        if replayed.is_partial:
            # A file may have been rotated since the last scan: the next one finds its bytes.
            await self._scan()
            replayed = await self._rebuild(sink, plan)
        prepared = replayed.prepared
        if prepared is None or prepared.batch is None or replayed.is_partial:
            return await self._salvage(sink, plan, replayed)
        if not replayed.is_same:
            log.warning(
                "sink.repeat_differs",
                sink=sink.name,
                batch=plan.id,
                upgraded=plan.fingerprint != prepared.plan.fingerprint,
            )
        if prepared.plan.manifest != plan.manifest:
            stored = await self._find_stored(sink, plan)
            prepared = adopt_stored(prepared, plan, stored or frozenset())
        log.info("sink.repeating", sink=sink.name, batch=plan.id, lines=plan.lines)
        return await self.ship(sink, prepared)

    async def _rebuild(self, sink: SinkState, plan: Plan) -> ReplayedBatch:
        """Make the planned batch again, once no file of the plan is being looked for any more."""
        until = self._clock() + AWAY_SECONDS
        while await self._worker.run(is_undecided, plan, is_patient=self._clock() < until):
            log.warning("sink.plan_waits_for_source", sink=sink.name, batch=plan.id)
            await asyncio.sleep(PAUSE_SECONDS)
        return await self._worker.run(rebuild, plan)

    async def _salvage(self, sink: SinkState, plan: Plan, replayed: ReplayedBatch) -> Committed:
        """Finish a plan whose source has changed, so that it cannot be sent again as a whole.

        What the destination has of it counts as delivered. The rest of what can be read is sent
        with it or, if nothing of a store's arrived, read again in new batches. What cannot be read
        is reported as lost.
        """
        if sink.spec.is_store:
            found = await self._salvage_objects(sink, plan, replayed)
        else:
            found = await self._salvage_records(sink, plan, replayed)
        if found is not None:
            return await self.ship(sink, found.prepared, found.lost)
        await self._write(sink, self._journal.commit, Commit(sink.name, plan.id, {}, ()), self._at)
        return Committed({})

    async def _salvage_objects(
        self, sink: SinkState, plan: Plan, replayed: ReplayedBatch
    ) -> Salvage | None:
        """Ask the store which objects it has.

        If the credentials may not ask, what can be read is sent again under the plan's names: an
        object that is there has all of it.
        """
        stored = await self._find_stored(sink, plan)
        if stored is None:
            found = _repeat_readable(replayed)
        else:
            found = await self._worker.run(salvage, plan, replayed, stored)
        log.warning(
            "sink.plan_source_changed",
            sink=sink.name,
            batch=plan.id,
            arrived=found is not None and stored is not None,
            is_known=stored is not None,
            objects_arrived=sum(each.name in (stored or ()) for each in plan.objects[:-1]),
            objects_planned=len(plan.objects[:-1]),
        )
        return found

    async def _salvage_records(
        self, sink: SinkState, plan: Plan, replayed: ReplayedBatch
    ) -> Salvage | None:
        """Ask the destination which records it has.

        If it cannot tell, what can be read is sent again under the plan's id.
        """
        receipt = await self._ask_for_records(sink, plan)
        log.warning(
            "sink.plan_source_changed",
            sink=sink.name,
            batch=plan.id,
            arrived=receipt is not None and bool(receipt.stored),
            is_known=receipt is not None,
            records_arrived=len(receipt.stored) if receipt else 0,
            records_planned=plan.lines,
        )
        if receipt is not None:
            return await self._worker.run(salvage_records, plan, replayed, receipt)
        return _repeat_readable(replayed)

    async def _ask_for_records(self, sink: SinkState, plan: Plan) -> Receipt | None:
        """Return what the destination has of the plan's records, None if nobody can tell."""
        keeper = sink.delivery.sink
        if not plan.lines or len(plan.records) != plan.lines:
            return None  # it cannot be asked, or the plan is of an earlier version
        if not isinstance(keeper, RecordKeeper):
            return None
        ids = await asyncio.to_thread(plan.records.list_ids)
        return await sink.delivery.ask(lambda batch_id: keeper.find_stored(batch_id, ids), plan.id)

    async def _find_stored(self, sink: SinkState, plan: Plan) -> frozenset[str] | None:
        """Return the names of the plan's objects that the store has, None if nobody can tell.

        A store that shows one object and denies another has no such object: S3 answers so to
        credentials that may not list.
        """
        store = sink.delivery.sink
        if not isinstance(store, Store):
            raise TypeError(f"sink {sink.name} cannot say which objects it has")
        names = [each.name for each in plan.objects]
        found = {name: await sink.delivery.ask(store.exists, name) for name in names}
        if all(is_stored is None for is_stored in found.values()):
            return None
        return frozenset(name for name, is_stored in found.items() if is_stored)

    async def _commit(
        self,
        sink: SinkState,
        prepared: PreparedBatch,
        quarantined: tuple[QuarantinedLine, ...],
        carried: Carried,
    ) -> None:
        batch = prepared.batch
        lines = prepared.lines - sum(bool(line.sink) for line in quarantined)
        size = batch.size_bytes if batch else 0
        rejected = Counter[CounterKey](
            ("quarantined_lines_total", (line.source, line.reason))
            for line in quarantined
            if line.sink
        )
        read = await self._worker.run(WorkerContext.take_counts, prepared.reached)
        commit = Commit(
            sink.name,
            prepared.plan.id,
            carried.reached,
            quarantined,
            lines=lines,
            bytes=size,
            redriven=prepared.plan.redriven,
            lost=carried.lost,
            repeats=carried.repeats,
            counts={key: read.get(key, 0) + rejected[key] for key in {*read, *rejected}},
            totals=self._metrics.list_totals(),
        )
        await self._write(sink, self._journal.commit, commit, self._at)
        report_losses(self._metrics, carried.lost)
        self._report_repeats(carried.repeats)
        self._metrics.add(dict(rejected))
        for source, records in prepared.displaced.items():
            self._metrics.displaced_records.labels(source).inc(records)
            log.warning(
                "sink.partitions_limited",
                sink=sink.name,
                source=source,
                batch=prepared.plan.id,
                records=records,
                problem="the batch had more days and dialects than limits.partitions of the source "
                "allows: the records farthest from today are in today's partition",
            )
        self._metrics.last_delivery_timestamp_seconds.labels(sink.name).set_to_current_time()
        self._metrics.delivered_lines.labels(sink.name).inc(lines)
        self._metrics.delivered_bytes.labels(sink.name).inc(size)
        log.debug(
            "sink.committed",
            sink=sink.name,
            batch=prepared.plan.id,
            lines=lines,
            quarantined=len(quarantined),
        )

    def _report_repeats(self, repeats: Iterable[RepeatedBytes]) -> None:
        for repeat in repeats:
            size = repeat.end - repeat.start
            self._metrics.repeated_bytes.labels(repeat.sink).inc(size)
            log.warning(
                "sink.arrived_comes_again",
                sink=repeat.sink,
                path=printable(repeat.path),
                offset=repeat.start,
                bytes=size,
            )

    async def _write(
        self, sink: SinkState, write: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Write to the journal; wait as long as it cannot be written (its disk is full).

        Nothing is read or sent for the sink meanwhile.
        """
        while True:
            sink.progress.begin_writing()
            try:
                await _run_to_the_end(write, *args, **kwargs)
            except StateUnavailable as error:
                sink.enter(SinkPhase.WAITING_FOR_JOURNAL)
                log.error(
                    "journal.unwritable",
                    sink=sink.name,
                    problem=str(error),
                    remedy="make room for the state directory; it goes on by itself",
                )
            else:
                sink.enter(SinkPhase.RUNNING)
                return
            finally:
                sink.progress.end_writing()
            await asyncio.sleep(PAUSE_SECONDS)


def _repeat_readable(replayed: ReplayedBatch) -> Salvage | None:
    """Return what can be read of a plan, None if nothing can."""
    prepared = replayed.prepared
    return None if prepared is None or prepared.batch is None else Salvage(prepared, ())


async def _run_to_the_end(write: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run the write in a thread. If cancelled, still wait for it to finish.

    The next reader must see the journal in its final state.
    """
    writing = asyncio.get_running_loop().run_in_executor(
        None, functools.partial(write, *args, **kwargs)
    )
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise
