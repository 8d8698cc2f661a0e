"""Plan, send and commit one batch; and finish what was planned and not committed."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar, cast

import structlog

from tracesidecar.batch.builder import PreparedBatch
from tracesidecar.journal.journal import Commit, Journal
from tracesidecar.journal.plan import Plan
from tracesidecar.journal.quarantine import QuarantinedLine
from tracesidecar.metrics import Metrics
from tracesidecar.model import Batch, Checkpoint
from tracesidecar.pipeline.replay import (
    ReplaySource,
    as_arrived,
    is_undecided,
    locate,
    planned_manifest,
    rebuild,
    settled_by,
)
from tracesidecar.pipeline.sink_state import SinkState
from tracesidecar.sinks import Store

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Committed:
    """What the journal has of a batch now: how far the sink is, and what was refused."""

    reached: Mapping[int, Checkpoint]
    quarantined: tuple[QuarantinedLine, ...] = ()


PAUSE_SECONDS = 1.0
"""How long to wait for a journal that cannot be written, or for a file that may come back."""


class Worker(Protocol):
    """Runs a function in the worker thread."""

    async def __call__(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...


class Shipper:
    """Brings batches to their sinks, with the journal before and after."""

    def __init__(
        self,
        journal: Journal,
        material: ReplaySource,
        metrics: Metrics,
        *,
        work: Worker,
        at: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._material = material
        self._metrics = metrics
        self._work = work
        self._at = at

    async def ship(self, route: SinkState, built: PreparedBatch) -> Committed:
        """Plan, send, commit."""
        refused: tuple[QuarantinedLine, ...] = ()
        if built.batch is not None:
            await self._write(route, self._journal.plan, built.plan)
            self._at("planned")
            self._at("sending")
            records = await route.delivery.send(built.batch)
            self._at("sent")
            reasons = {record.index: record.reason for record in records}
            refused = (
                await self._work(
                    locate, built.plan, route.form.form, reasons, self._material, route.committed
                )
                if reasons
                else ()
            )
        await self._commit(route, built, built.quarantined + refused)
        return Committed(built.reached, built.quarantined + refused)

    async def repeat(self, route: SinkState, plan: Plan) -> Committed:
        """Finish a plan: the same bytes under the same id, or known not to be.

        Waits while a file of it may still be found again.
        """
        while await self._work(is_undecided, plan, self._material.pieces):
            log.warning("sink.plan_waits_for_source", sink=route.name, batch=plan.id)
            await asyncio.sleep(PAUSE_SECONDS)
        rebuilt = await self._work(rebuild, plan, route.form, self._material, route.committed)
        built = rebuilt.built
        if built is None or built.batch is None or (rebuilt.is_partial and route.form.is_store):
            return await self._give_up(route, plan, built)
        if not rebuilt.is_same:
            log.warning(
                "sink.repeat_differs",
                sink=route.name,
                batch=plan.id,
                upgraded=plan.fingerprint != built.plan.fingerprint,
            )
        if built.plan.manifest != plan.manifest:
            built = as_arrived(built, plan, await self._there(route, plan))
        log.info("sink.repeating", sink=route.name, batch=plan.id, lines=plan.lines)
        return await self.ship(route, built)

    async def _give_up(
        self, route: SinkState, plan: Plan, found: PreparedBatch | None
    ) -> Committed:
        """Its source changed: what is already there counts as settled; the rest is read again where
        it can be, and else reported lost.
        """
        arrived = route.form.is_store and {
            each.name for each in plan.objects[:-1] or plan.objects
        } <= await self._there(route, plan)
        log.warning("sink.plan_source_changed", sink=route.name, batch=plan.id, arrived=arrived)
        if arrived and plan.manifest:
            await route.delivery.send(
                Batch(
                    plan.id,
                    plan.time,
                    (),
                    planned_manifest(plan, plan.manifest),
                    0,
                    0,
                    plan.fingerprint,
                )
            )
        reached = settled_by(plan, found.reached if found else {}) if arrived else {}
        quarantined = found.quarantined if found and arrived else ()
        commit = Commit(
            route.name, plan.id, reached, quarantined, redriven=plan.redriven if arrived else ()
        )
        await self._write(route, self._journal.commit, commit, self._at)
        return Committed(reached, quarantined)

    async def _there(self, route: SinkState, plan: Plan) -> set[str]:
        """The names of the plan's objects that are there."""
        store = cast("Store", route.delivery.sink)
        return {
            each.name for each in plan.objects if await route.delivery.ask(store.exists, each.name)
        }

    async def _commit(
        self, route: SinkState, built: PreparedBatch, quarantined: tuple[QuarantinedLine, ...]
    ) -> None:
        batch = built.batch
        lines = built.lines - sum(bool(line.sink) for line in quarantined) if batch else 0
        size = batch.size_bytes if batch else 0
        plan_id = built.plan.id if batch else None
        commit = Commit(
            route.name,
            plan_id,
            built.reached,
            quarantined,
            lines=lines,
            bytes=size,
            redriven=built.plan.redriven,
        )
        await self._write(route, self._journal.commit, commit, self._at)
        for line in quarantined:
            if line.sink:
                self._metrics.quarantined_lines.labels(line.source, line.reason).inc()
        self._metrics.delivered_lines.labels(route.name).inc(lines)
        self._metrics.delivered_bytes.labels(route.name).inc(size)
        log.debug(
            "sink.committed",
            sink=route.name,
            batch=built.plan.id,
            lines=lines,
            quarantined=len(quarantined),
        )

    async def _write(
        self, route: SinkState, write: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Write to the journal.

        While it cannot be written (its disk is full), the sink waits: nothing is read or sent for
        it.
        """
        while True:
            try:
                await _to_the_end(write, *args, **kwargs)
            except sqlite3.OperationalError as error:
                route.state = "waiting for the journal"
                log.error(
                    "journal.unwritable",
                    sink=route.name,
                    problem=str(error),
                    remedy="make room for the state directory; it goes on by itself",
                )
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                route.state = "running"
                return


async def _to_the_end(write: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Call a function in a thread.

    Who is cancelled meanwhile waits for its end: a successor must find the journal as it will stay.
    """
    writing = asyncio.get_running_loop().run_in_executor(
        None, functools.partial(write, *args, **kwargs)
    )
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise
