"""Move what there is, from files to sinks: `step` moves once and returns, `run` is the loop around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar, cast

import structlog

from tracesidecar.collect.collector import Collector
from tracesidecar.collect.records import Scan
from tracesidecar.errors import SinkHalted
from tracesidecar.logs import frames, printable
from tracesidecar.metrics import Metrics
from tracesidecar.model import Checkpoint
from tracesidecar.pipeline.pieces import Pieces
from tracesidecar.pipeline.redrive import gather
from tracesidecar.pipeline.repeat import locate, rebuild, settled_by
from tracesidecar.pipeline.route import Route
from tracesidecar.ship.batch import BatchBuilder, Built
from tracesidecar.ship.journal import Commit, Journal
from tracesidecar.ship.plan import Plan
from tracesidecar.ship.quarantine import LostBytes, QuarantinedLine
from tracesidecar.sinks.sink import Store

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")

STEP_BYTES = 4 << 20
"""How much one turn in the worker thread takes at most, so that other sinks get theirs."""
MOST_SECONDS_BEFORE_RESTART = 60.0


def ignore(_point: str) -> None:
    """The default observer of the named points."""


class Pipeline:
    """All sinks over one collector. One worker thread does what blocks or computes; everything else is the event loop's."""

    def __init__(
        self,
        *,
        collector: Collector,
        pieces: Pieces,
        journal: Journal,
        metrics: Metrics,
        routes: Sequence[Route],
        clock: Callable[[], float] = time.monotonic,
        at: Callable[[str], None] = ignore,
    ) -> None:
        self.collector = collector
        self.journal = journal
        self.metrics = metrics
        self.routes: dict[str, Route] = {route.name: route for route in routes}
        self.clock = clock
        self.last_scan: Scan | None = None
        self.first_scan = asyncio.Event()
        self.writers_are_gone = False
        self.has_read = False
        self.is_halted = False
        self._retained: frozenset[int] = frozenset()
        self._pieces = pieces
        self._at = at
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="work")

    async def work(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something in the worker thread, one thing at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Stop the worker thread once it is done with what it does."""
        self._worker.shutdown(wait=True)

    @property
    def cached_bytes(self) -> int:
        """Memory taken by clean chunks that more than one sink may want."""
        return self._pieces.cached_bytes

    # ---------------------------------------------------------------- discovery

    async def scan(self, *, full: bool = False) -> Scan:
        """One turn of discovery; what may have something new is offered to every sink that takes it."""
        scan = await self.work(self._scan, self.clock(), full=full)
        if scan.losses:
            await self._note_losses(scan)
        for warning in scan.warnings:
            log.warning("collect.warning", kind=warning.kind, path=printable(warning.path), problem=warning.sentence)
        if scan.changed:
            for route in self.routes.values():
                route.news.set()
        await self._heed()
        self.first_scan.set()
        return scan

    async def _heed(self) -> None:
        """Take notice of what the command line has written into the journal."""
        if await asyncio.to_thread(self.journal.has_news):
            await self.work(self.retain_refused)
            for route in self.routes.values():
                route.is_asked = True
                route.news.set()

    def retain_refused(self) -> None:
        """Worker thread: have the collector keep the files that alone have the bytes of refused lines, and let go of the others."""
        self._retained = self.journal.quarantined_segments()
        self.collector.retain(self._retained)

    def _scan(self, now: float, *, full: bool) -> Scan:
        """Worker thread: look, and offer what may have something new to every sink that takes it."""
        scan = self.collector.scan(now, full=full)
        views = self.collector.segments()
        for segment in scan.changed:
            view = views.get(segment)
            for route in self.routes.values():
                if view is not None and route.takes(view.segment.source):
                    route.offer(segment, now)
        self.last_scan = scan
        return scan

    def _offer_all(self, route: Route) -> None:
        """Worker thread: all that is known to hold more than the sink has."""
        now = self.clock()
        for segment, view in self.collector.segments().items():
            if route.takes(view.segment.source) and route.cursor(segment).offset < view.size:
                route.offer(segment, now)

    async def _note_losses(self, scan: Scan) -> None:
        rows = []
        for loss in scan.losses:
            segment = loss.segment
            self.metrics.lost_bytes.labels(loss.reason).inc(loss.lost_bytes)
            log.warning("collect.lost", path=printable(segment.path), offset=loss.offset, bytes=loss.lost_bytes, reason=loss.reason)
            rows.append(LostBytes(segment.id, segment.source, segment.path, loss.offset, loss.lost_bytes, loss.reason))
        await asyncio.to_thread(self.journal.record_losses, rows)
        for loss in scan.losses:
            await self.work(self.collector.settled, loss.segment.id, max(loss.size, loss.offset))

    # ---------------------------------------------------------------- one sink

    async def keep(self, route: Route) -> None:
        """Serve one sink until a drain is over, starting again after a bug in it; returns for good when the sink halts."""
        pause = 1.0
        while True:
            if self.is_halted:
                route.state = "halted"
                return
            try:
                await self._serve(route)
            except SinkHalted as error:
                route.state = "halted"
                log.error("sink.halted", sink=route.name, problem=str(error))
                await asyncio.to_thread(self.journal.note_sink, route.name, state="halted")
                return
            except Exception as error:  # noqa: BLE001 - one sink's trouble stays its own: it is told, and the sink starts again
                route.state = "restarting"
                self.metrics.sink_restarts.labels(route.name).inc()
                log.error("sink.restarting", sink=route.name, kind=type(error).__name__, where=frames(error), pause_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, MOST_SECONDS_BEFORE_RESTART)
            else:
                route.state = "drained"
                return
            finally:
                await asyncio.shield(self.work(route.rewind, self.clock()))

    async def _serve(self, route: Route) -> None:
        route.state = "connecting"
        await route.delivery.connect()
        try:
            await self.first_scan.wait()
            await self.work(self._offer_all, route)
            route.state = "running"
            route.progressed_at = self.clock()
            log.info("sink.connected", sink=route.name)
            for plan in await asyncio.to_thread(self.journal.plans, route.name):
                await self.repeat(route, plan)
            while await self.step(route):
                pass
        finally:
            await route.delivery.sink.__aexit__(None, None, None)

    async def step(self, route: Route) -> bool:
        """Fill one batch and ship it; False when a drain has nothing left for this sink."""
        if route.is_asked:
            await self._redrive(route)
        builder = await self._fill(route)
        if builder.is_empty:
            return route.target is None or route.is_asked
        built = await self.work(builder.close, time.time())
        await self._ship(route, built)
        return True

    async def _fill(self, route: Route) -> BatchBuilder:
        builder, limits = BatchBuilder(route.form), route.options.batch
        started = newest = self.clock()
        while not self._is_full(route, builder):
            route.news.clear()
            was_empty = builder.is_empty
            taken = await self.work(self._take, route, builder)
            now = self.clock()
            if taken:
                started, newest = (now if was_empty else started), now
            elif route.target is not None or (was_empty and route.is_asked):
                break
            elif was_empty:
                await route.news.wait()
            elif not await _happens(route.news, min(started + limits.age, newest + limits.idle) - now):
                break
            if not builder.is_empty and now - started >= limits.age:
                break
        return builder

    def _is_full(self, route: Route, builder: BatchBuilder) -> bool:
        limits = route.options.batch
        return builder.size_bytes >= limits.bytes or builder.lines >= limits.lines or builder.held_bytes >= route.buffer_bytes

    def _take(self, route: Route, builder: BatchBuilder) -> int:
        """Worker thread: up to a step's worth of pieces, one from each ready segment in turn. Returns source bytes taken."""
        taken = 0
        while route.ready and taken < STEP_BYTES and not self._is_full(route, builder):
            segment, since = route.ready.popitem(last=False)
            if route.is_over(segment):
                continue
            view = self.collector.segments().get(segment)
            final = view is not None and (view.is_writer_gone or self.writers_are_gone)
            piece = self._pieces.next(segment, route.cursor(segment), final=final)
            if piece is None:
                route.read_all(segment)
                continue
            self._note_read()
            builder.add(piece, self._pieces.label(segment, piece.clean.segment.path))
            route.reading[segment] = piece.next
            route.ready[segment] = since
            taken += piece.clean.end - piece.clean.start
        route.held_bytes = builder.held_bytes
        return taken

    def _note_read(self) -> None:
        if not self.has_read:
            self.has_read = True
            log.info("pipeline.first_read")
        self._at("read")

    async def _redrive(self, route: Route) -> None:
        """Deliver the refused lines that a person asked for, as far as they pass today."""
        route.is_asked = False
        asked = await asyncio.to_thread(self.journal.asked, route.name)
        if not asked:
            return
        found = await self.work(gather, asked, route, self._pieces, lambda builder: self._is_full(route, builder))
        route.is_waiting = found.is_waiting
        if found.refused or found.gone:
            await asyncio.to_thread(self.journal.refuse_redrive, route.name, found.refused, found.gone)
            log.warning("sink.redrive_refused", sink=route.name, refused_again=len(found.refused), bytes_gone=len(found.gone))
        if not found.builder.is_empty:
            log.info("sink.redriving", sink=route.name, lines=found.builder.lines)
            await self._ship(route, await self.work(found.builder.close, time.time()))
        await self.work(self.retain_refused)
        await self.work(self._pieces.discard_sealed, {entry.line.sealed for entry in asked} - self.journal.sealed_files())
        route.is_asked = route.is_asked or found.is_cut_off

    async def _ship(self, route: Route, built: Built) -> None:
        """Plan, send, commit."""
        refused: tuple[QuarantinedLine, ...] = ()
        if built.batch is not None:
            await asyncio.to_thread(self.journal.plan, built.plan)
            self._at("planned")
            refused = await self._send(route, built)
        await self._commit(route, built, built.quarantined + refused, len(refused))

    async def _send(self, route: Route, built: Built) -> tuple[QuarantinedLine, ...]:
        assert built.batch is not None  # noqa: S101 - the caller looked
        self._at("sending")
        records = await route.delivery.send(built.batch)
        self._at("sent")
        if not records:
            return ()
        reasons = {record.index: record.reason for record in records}
        return await self.work(locate, built.plan, reasons, self._pieces, route.committed)

    async def _commit(self, route: Route, built: Built, quarantined: tuple[QuarantinedLine, ...], refused_by_sink: int) -> None:
        batch = built.batch
        lines = batch.lines - refused_by_sink if batch else 0
        size = batch.size_bytes if batch else 0
        plan_id = built.plan.id if batch else None
        commit = Commit(route.name, plan_id, built.reached, quarantined, lines=lines, bytes=size, redriven=built.plan.redriven)
        await asyncio.to_thread(self.journal.commit, commit, self._at)
        for line in quarantined:
            if line.sink:
                self.metrics.quarantined_lines.labels(line.source, line.reason).inc()
        self.metrics.delivered_lines.labels(route.name).inc(lines)
        self.metrics.delivered_bytes.labels(route.name).inc(size)
        await self.work(self._advance, route, built.reached, quarantined)
        log.debug("sink.committed", sink=route.name, batch=built.plan.id, lines=lines, quarantined=len(quarantined))

    def _advance(self, route: Route, reached: Mapping[int, Checkpoint], refused: Iterable[QuarantinedLine] = ()) -> None:
        """Worker thread: the journal has it, so the source may let go of it, but for what only it has of refused lines."""
        if fresh := {line.segment for line in refused if not line.sealed} - self._retained:
            self._retained |= fresh
            self.collector.retain(self._retained)
        route.advance(reached, self.clock())
        route.held_bytes = 0
        route.is_asked = route.is_asked or route.is_waiting
        self.settle(reached)

    def settle(self, segments: Iterable[int]) -> None:
        """Worker thread: tell the collector how far every sink that must have a segment has come."""
        for segment in segments:
            self.collector.settled(segment, self._required_offset(segment))

    def _required_offset(self, segment: int) -> int:
        """How far every sink that must have the segment has come."""
        view = self.collector.segments().get(segment)
        waiting = [r for r in self.routes.values() if r.options.required and view is not None and r.takes(view.segment.source)]
        return min((r.committed[segment].offset if segment in r.committed else 0 for r in waiting), default=0)

    # ---------------------------------------------------------------- after a crash

    async def repeat(self, route: Route, plan: Plan) -> None:
        """Finish what was planned and not committed: the same bytes under the same id, or known not to be."""
        rebuilt = await self.work(rebuild, plan, route.form, self._pieces, route.committed)
        built = rebuilt.built
        if built is None or built.batch is None:
            await self._give_up(route, plan)
            return
        if not rebuilt.is_same:
            log.warning("sink.repeat_differs", sink=route.name, batch=plan.id, upgraded=plan.fingerprint != built.plan.fingerprint)
        log.info("sink.repeating", sink=route.name, batch=plan.id, lines=plan.lines)
        await self._ship(route, built)

    async def _give_up(self, route: Route, plan: Plan) -> None:
        """The source changed under the plan: what is already there counts as settled, the rest is found lost by the collector."""
        sink = route.delivery.sink
        arrived = route.form.is_store and await cast("Store", sink).exists(plan.objects[0].name)
        log.warning("sink.plan_source_changed", sink=route.name, batch=plan.id, arrived=arrived)
        reached = settled_by(plan) if arrived else {}
        await asyncio.to_thread(self.journal.commit, Commit(route.name, plan.id, reached, (), redriven=plan.redriven if arrived else ()), self._at)
        await self.work(self._advance, route, reached)


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, so long at most; tell whether it came."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return False
    return True
