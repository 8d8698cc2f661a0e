"""The commit protocol: plan, send and commit a batch; and finish what was not committed."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import ParamSpec

import structlog

from tracesidecar.batch import PreparedBatch
from tracesidecar.errors import StateUnavailable
from tracesidecar.journal import Commit, Journal, Plan, QuarantinedLine
from tracesidecar.metrics import Metrics
from tracesidecar.model import Batch, Checkpoint
from tracesidecar.pipeline.replay import (
    ReplayedBatch,
    adopt_stored,
    find_reached_checkpoints,
    is_undecided,
    locate_rejected,
    make_planned_manifest,
    rebuild,
)
from tracesidecar.pipeline.sink_state import SinkPhase, SinkState
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread
from tracesidecar.sinks import Store

log = structlog.get_logger()
P = ParamSpec("P")

PAUSE_SECONDS = 1.0
"""How long to wait for a journal that cannot be written, or for a file that may come back."""


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
    ) -> None:
        """`scan` looks at all files; `at` is called at named points, where tests may end it all."""
        self._journal = journal
        self._metrics = metrics
        self._worker = worker
        self._scan = scan
        self._at = at

    async def ship(self, sink: SinkState, prepared: PreparedBatch) -> Committed:
        """Plan, send, commit."""
        rejected: tuple[QuarantinedLine, ...] = ()
        if prepared.batch is not None:
            await self._write(sink, self._journal.plans.save, prepared.plan)
            self._at("planned")
            self._at("sending")
            records = await sink.delivery.send(prepared.batch)
            self._at("sent")
            if records:
                reasons = {record.index: record.reason for record in records}
                rejected = await self._worker.run(locate_rejected, prepared.plan, reasons)
        quarantined = prepared.quarantined + rejected
        await self._commit(sink, prepared, quarantined)
        return Committed(prepared.reached, quarantined)

    async def replay(self, sink: SinkState, plan: Plan) -> Committed:
        """Finish a plan: send the same bytes under the same id, or report that they differ.

        Waits as long as a file of the plan may still be found again.
        """
        replayed = await self._rebuild(sink, plan)
        if replayed.is_partial:
            # A file may have been rotated since the last scan: the next one finds its bytes.
            await self._scan()
            replayed = await self._rebuild(sink, plan)
        prepared = replayed.prepared
        if (
            prepared is None
            or prepared.batch is None
            or (replayed.is_partial and sink.spec.is_store)
        ):
            return await self._give_up(sink, plan, prepared)
        if not replayed.is_same:
            log.warning(
                "sink.repeat_differs",
                sink=sink.name,
                batch=plan.id,
                upgraded=plan.fingerprint != prepared.plan.fingerprint,
            )
        if prepared.plan.manifest != plan.manifest:
            prepared = adopt_stored(prepared, plan, await self._find_stored(sink, plan))
        log.info("sink.repeating", sink=sink.name, batch=plan.id, lines=plan.lines)
        return await self.ship(sink, prepared)

    async def _rebuild(self, sink: SinkState, plan: Plan) -> ReplayedBatch:
        """Make the planned batch again, once no file of the plan is being looked for any more."""
        while await self._worker.run(is_undecided, plan):
            log.warning("sink.plan_waits_for_source", sink=sink.name, batch=plan.id)
            await asyncio.sleep(PAUSE_SECONDS)
        return await self._worker.run(rebuild, plan)

    async def _give_up(
        self, sink: SinkState, plan: Plan, partial: PreparedBatch | None
    ) -> Committed:
        """Commit a plan whose source has changed, so that it cannot be sent again as a whole.

        If the store has all of it, it counts as delivered. Otherwise its ranges are read again in
        new batches, and what cannot be read is reported as lost.
        """
        arrived = sink.spec.is_store and {
            each.name for each in plan.objects[:-1] or plan.objects
        } <= await self._find_stored(sink, plan)
        log.warning("sink.plan_source_changed", sink=sink.name, batch=plan.id, arrived=arrived)
        if arrived and plan.manifest:
            manifest = make_planned_manifest(plan, plan.manifest)
            await sink.delivery.send(
                Batch(plan.id, plan.time, (), manifest, 0, 0, plan.fingerprint)
            )
        reached = (
            find_reached_checkpoints(plan, partial.reached if partial else {}) if arrived else {}
        )
        quarantined = partial.quarantined if partial and arrived else ()
        commit = Commit(
            sink.name, plan.id, reached, quarantined, redriven=plan.redriven if arrived else ()
        )
        await self._write(sink, self._journal.commit, commit, self._at)
        return Committed(reached, quarantined)

    async def _find_stored(self, sink: SinkState, plan: Plan) -> set[str]:
        """Return the names of the plan's objects that the store has."""
        store = sink.delivery.sink
        if not isinstance(store, Store):
            raise TypeError(f"sink {sink.name} cannot say which objects it has")
        return {
            each.name for each in plan.objects if await sink.delivery.ask(store.exists, each.name)
        }

    async def _commit(
        self, sink: SinkState, prepared: PreparedBatch, quarantined: tuple[QuarantinedLine, ...]
    ) -> None:
        batch = prepared.batch
        lines = prepared.lines - sum(bool(line.sink) for line in quarantined) if batch else 0
        size = batch.size_bytes if batch else 0
        commit = Commit(
            sink.name,
            prepared.plan.id if batch else None,
            prepared.reached,
            quarantined,
            lines=lines,
            bytes=size,
            redriven=prepared.plan.redriven,
        )
        await self._write(sink, self._journal.commit, commit, self._at)
        for line in quarantined:
            if line.sink:
                self._metrics.quarantined_lines.labels(line.source, line.reason).inc()
        self._metrics.delivered_lines.labels(sink.name).inc(lines)
        self._metrics.delivered_bytes.labels(sink.name).inc(size)
        log.debug(
            "sink.committed",
            sink=sink.name,
            batch=prepared.plan.id,
            lines=lines,
            quarantined=len(quarantined),
        )

    async def _write(
        self, sink: SinkState, write: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Write to the journal; wait as long as it cannot be written (its disk is full).

        Nothing is read or sent for the sink meanwhile.
        """
        while True:
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
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                sink.enter(SinkPhase.RUNNING)
                return


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
