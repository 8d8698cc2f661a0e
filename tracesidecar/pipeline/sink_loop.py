"""Serve one sink: connect, finish old plans, then fill, plan, send and commit batch after batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from tracesidecar.errors import SinkStopped, StateError, StateUnavailable
from tracesidecar.journal import Journal
from tracesidecar.logs import frames
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.batch_filler import Step
from tracesidecar.pipeline.redrive import gather, release_redriven
from tracesidecar.pipeline.shipper import PAUSE_SECONDS, Committed, Shipper
from tracesidecar.pipeline.side_by_side import SideBySide
from tracesidecar.pipeline.sink_state import SinkPhase, SinkState
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread

log = structlog.get_logger()

SLOW_CHUNK_SECONDS = 0.25
"""How often to see whether a slow chunk is clean, if nothing else is left to read."""

FIRST_SECONDS_BEFORE_RESTART = 1.0
MOST_SECONDS_BEFORE_RESTART = 60.0


class SinkLoop:
    """The loop of one sink. For the event loop; files are reached through the worker thread."""

    def __init__(
        self,
        sink: SinkState,
        *,
        group: SideBySide,
        worker: WorkerThread[WorkerContext],
        journal: Journal,
        shipper: Shipper,
        metrics: Metrics,
        first_scan: asyncio.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`group` has the other sinks; nothing is read before `first_scan` is set."""
        self._sink = sink
        self._group = group
        self._worker = worker
        self._journal = journal
        self._shipper = shipper
        self._metrics = metrics
        self._first_scan = first_scan
        self._clock = clock

    async def run(self) -> None:
        """Serve the sink until a drain is over, starting again after a bug in it.

        Return for good if the sink stops, because a person has to look. Raise StateError if the
        journal is damaged.
        """
        sink, pause = self._sink, FIRST_SECONDS_BEFORE_RESTART
        while True:
            began = self._clock()
            try:
                await self._serve()
            except SinkStopped as error:
                sink.enter(SinkPhase.STOPPED)
                log.error("sink.halted", sink=sink.name, problem=str(error))
                return
            except StateUnavailable as error:
                sink.enter(SinkPhase.WAITING_FOR_JOURNAL)
                log.error("journal.unavailable", sink=sink.name, problem=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
            except StateError:
                raise  # the journal is damaged: no sink can go on
            except Exception as error:  # noqa: BLE001 - a bug in one sink stays in it: it is logged, and the sink starts again
                _stay_cancelled(error)
                sink.enter(SinkPhase.RESTARTING)
                if sink.progress.moved_at > began:
                    pause = FIRST_SECONDS_BEFORE_RESTART
                self._metrics.sink_restarts.labels(sink.name).inc()
                log.error(
                    "sink.restarting",
                    sink=sink.name,
                    kind=type(error).__name__,
                    where=frames(error),
                    pause_seconds=pause,
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, MOST_SECONDS_BEFORE_RESTART)
            else:
                sink.enter(SinkPhase.DRAINED)
                return
            finally:
                await asyncio.shield(self._worker.run(WorkerContext.rewind, sink.name))

    async def _serve(self) -> None:
        sink = self._sink
        sink.enter(SinkPhase.CONNECTING)
        await sink.delivery.connect()
        try:
            await self._first_scan.wait()
            sink.enter(SinkPhase.RUNNING)
            log.info("sink.connected", sink=sink.name)
            for plan in await asyncio.to_thread(self._journal.plans.load, sink.name):
                await self._acknowledge(await self._shipper.replay(sink, plan))
            await self._worker.run(lambda context: context.intake.settle_plans(sink.name))
            while await self._ship_next():
                pass
        finally:
            await sink.delivery.disconnect()

    async def _ship_next(self) -> bool:
        """Fill one batch and ship it; return False if a drain has nothing left for this sink."""
        sink = self._sink
        if sink.redrives.is_due and not sink.is_finishing:
            await self._redrive()
        last = await self._fill()
        if last.is_empty:
            return not sink.is_finishing and (
                not sink.is_draining or sink.redrives.is_due or last.has_more
            )
        prepared, landmarks = await self._worker.run(WorkerContext.close_and_mark, sink.name)
        await self._acknowledge(await self._shipper.ship(sink, prepared, landmarks=landmarks))
        sink.lead.end_sending()
        return True

    async def _fill(self) -> Step:
        self._sink.lead.begin_filling()
        try:
            return await self._fill_until_full_or_old()
        finally:
            self._sink.lead.end_filling()
            self._group.end_step()

    async def _fill_until_full_or_old(self) -> Step:
        """Fill until the batch is full, old enough, or nothing comes any more."""
        sink = self._sink
        started = self._clock()
        newest: dict[str, float] = {}
        was_empty = True
        while True:
            next_step, slower = self._group.begin_step(sink)
            is_draining = sink.begin_step()
            before = self._clock()
            step = await self._worker.run(WorkerContext.fill, sink.name, slower)
            if step.is_ahead and not sink.is_finishing:
                await self._group.wait(next_step)
                continue
            self._group.end_step()
            sink.progress.note_read(step.read_bytes)
            now = self._clock()
            if step.taken_bytes:
                started = now if was_empty else started
                newest |= dict.fromkeys(step.taken_sources, now)
            elif was_empty and sink.redrives.is_due:
                return step
            elif step.is_measuring or (step.is_waiting and was_empty):
                await sink.wait_for_news(0 if step.is_measuring else SLOW_CHUNK_SECONDS)
            elif is_draining:
                return step
            elif was_empty:
                await sink.wait_for_news()
            elif not await sink.wait_for_news(
                min(
                    sink.deadline.find_latest(started),
                    min(newest.values(), default=started) + sink.deadline.idle_seconds,
                )
                - now
            ):
                return step
            # each source by itself: one that writes all the time keeps no line of another waiting
            resting = [at for source, at in newest.items() if source not in step.ready_sources]
            due = sink.deadline.find_latest(started)
            if resting and sink.deadline.idle_seconds and not is_draining:
                due = min(due, min(resting) + sink.deadline.idle_seconds)
            is_read = is_draining and not step.has_more
            if step.is_full or (not step.is_empty and (is_read or now >= due)):
                return step
            if resting and step.taken_bytes and step.has_more and not is_draining:
                # what is added now is sent and committed before what rests: half as much of it
                await asyncio.sleep(min(now - before, due - now))
            if sink.is_finishing:
                return step
            was_empty = step.is_empty

    async def _redrive(self) -> None:
        """Deliver the rejected lines that a person asked for, as far as they pass today."""
        sink = self._sink
        sink.redrives.begin()
        requested = await asyncio.to_thread(self._journal.quarantine.load_requested, sink.name)
        if not requested:
            return
        found = await self._worker.run(gather, requested, sink.name)
        sink.redrives.defer(are_waiting=found.is_waiting)
        if found.rejected or found.gone:
            await asyncio.to_thread(
                self._journal.redrive_requests.reject, sink.name, found.rejected, found.gone
            )
            log.warning(
                "sink.redrive_refused",
                sink=sink.name,
                refused_again=len(found.rejected),
                bytes_gone=len(found.gone),
            )
        if found.prepared is not None:
            log.info("sink.redriving", sink=sink.name, lines=found.prepared.lines)
            await self._acknowledge(await self._shipper.ship(sink, found.prepared))
        sealed = {
            entry.line.sealed for entry in requested
        } - self._journal.quarantine.list_sealed_files()
        await self._worker.run(release_redriven, frozenset(sealed))
        if found.has_more:
            sink.request_redrives()

    async def _acknowledge(self, committed: Committed) -> None:
        """Release what the journal has as delivered, but keep the files of rejected lines."""
        unsealed = frozenset(line.segment for line in committed.quarantined if not line.sealed)
        await self._worker.run(WorkerContext.commit, self._sink.name, committed.reached, unsealed)
        if committed.quarantined:
            await self._worker.run(WorkerContext.note_rejected, committed.quarantined)
        self._sink.note_commit()


def _stay_cancelled(error: Exception) -> None:
    """Raise CancelledError if the task is being cancelled: a failure must not outlive that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
