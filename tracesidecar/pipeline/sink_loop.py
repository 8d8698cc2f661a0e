"""Move what there is, from files to sinks: `step` moves once and returns, `run` is the loop around
it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import structlog

from tracesidecar.batch.builder import BatchBuilder, Piece
from tracesidecar.errors import SinkStopped
from tracesidecar.journal.journal import Journal
from tracesidecar.logs import frames, printable
from tracesidecar.metrics import Metrics
from tracesidecar.model import BEGINNING, Checkpoint
from tracesidecar.pipeline.losses import Losses
from tracesidecar.pipeline.redrive import gather
from tracesidecar.pipeline.replay import ReplaySource, refused_lines
from tracesidecar.pipeline.shipper import Committed, Shipper
from tracesidecar.pipeline.sink_state import SinkState
from tracesidecar.tail.segments import Scan, SegmentView
from tracesidecar.tail.tailer import Tailer

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")

STEP_BYTES = 4 << 20
"""How much one round of turns in the worker thread takes at most: each sink gets its share, and
finds in the cache what the one before it read.
"""
FIRST_SECONDS_BEFORE_RESTART = 1.0
MOST_SECONDS_BEFORE_RESTART = 60.0
LOOK_AGAIN_SECONDS = 0.25
"""A sink that is ahead looks this often whether it still is: turns wake it, the end of its patience
does not.
"""
FEW_SEGMENTS = 1000
"""So many segments that are over may be remembered: looking for them costs more."""


def ignore(_point: str) -> None:
    """The default observer of the named points."""


class Pipeline:
    """All sinks over one collector.

    One worker thread does what blocks or computes; everything else is the event loop's.
    """

    def __init__(
        self,
        *,
        collector: Tailer,
        material: ReplaySource,
        journal: Journal,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        at: Callable[[str], None] = ignore,
    ) -> None:
        self.collector = collector
        self.journal = journal
        self.metrics = metrics
        self.routes: dict[str, SinkState] = {}
        self.clock = clock
        self.last_scan: Scan | None = None
        self.first_scan = asyncio.Event()
        self.writers_are_gone = False
        self.has_read = False
        self.is_halted = False
        self._retained: frozenset[int] = frozenset()
        self.scanned_at = clock()
        self._turn = asyncio.Event()
        self._material = material
        self._pieces = material.pieces
        self._at = at
        self._losses = Losses(collector, journal, metrics)
        self._shipments = Shipper(journal, material, metrics, work=self.work, at=at)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="work")

    async def work(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something in the worker thread, one thing at a time."""
        return await asyncio.get_running_loop().run_in_executor(
            self._worker, lambda: function(*args, **kwargs)
        )

    def exchange(self, dismissed: Iterable[str], added: Sequence[SinkState]) -> None:
        """Change the sinks, all at once: the worker thread may be going through them."""
        kept = {name: route for name, route in self.routes.items() if name not in dismissed}
        self.routes = kept | {route.name: route for route in added}

    def close(self) -> None:
        """Stop the worker thread once it is done with what it does."""
        self._worker.shutdown(wait=True)

    @property
    def cached_bytes(self) -> int:
        """Memory taken by clean chunks that more than one sink may want."""
        return self._pieces.cached_bytes + self._material.meanings.cached_bytes

    # ---------------------------------------------------------------- discovery

    async def scan(self, *, full: bool = False) -> Scan:
        """One turn of discovery; what may have something new is offered to every sink that takes
        it.
        """
        try:
            scan = await self.work(self.look, full=full)
        finally:
            for route in self.routes.values():
                if route.ready:
                    route.news.set()
        for warning in scan.warnings:
            log.warning(
                "collect.warning",
                kind=warning.kind,
                path=printable(warning.path),
                problem=warning.sentence,
            )
        await self._heed(scan)
        self.first_scan.set()
        return scan

    async def _heed(self, scan: Scan) -> None:
        """Take notice of what the command line has written into the journal, and of files that may
        have come within reach again.
        """
        has_news = await asyncio.to_thread(self.journal.has_news)
        if has_news:
            await self.work(self.retain_refused)
        for route in self.routes.values():
            if has_news or (route.is_waiting and (scan.changed or scan.losses)):
                route.is_asked = True
                route.news.set()

    def retain_refused(self) -> None:
        """Worker thread: have the collector keep the files that alone have the bytes of refused
        lines, and let go of the others.
        """
        self._retained = self.journal.quarantined_segments()
        self.collector.retain(self._retained)

    def look(self, *, full: bool) -> Scan:
        """Worker thread: look, offer what may have something new, account for what is lost."""
        now, routes = self.clock(), self.routes.values()
        scan = self.collector.scan(now, full=full)
        views = self.collector.segments()
        for segment in dict.fromkeys((*scan.changed, *self._pieces.overdue(now))):
            view = views.get(segment)
            takers = [
                route for route in routes if view is not None and route.takes(view.segment.source)
            ]
            for route in takers:
                route.offer(segment, now)
            if view is not None and not takers:
                self.collector.settled(segment, view.size)
        self.last_scan, self.scanned_at = scan, now
        self._losses.note(scan.losses, routes)
        self._forget(scan.files)
        return scan

    def begin_drain(self, target: dict[int, int]) -> None:
        """Worker thread: no sink reads beyond the target any more, and none waits for the end of a
        message that is still open.
        """
        views, now = self.collector.segments(), self.clock()
        for route in self.routes.values():
            route.target = target
            for segment in self._pieces.waiting():
                if segment in views and route.takes(views[segment].segment.source):
                    route.offer(segment, now)

    def _forget(self, known: int) -> None:
        """Worker thread: drop what is remembered of segments that are over, once that is more than
        half of it.
        """
        if any(len(route.committed) > 2 * known + FEW_SEGMENTS for route in self.routes.values()):
            views = self.collector.segments()
            self._pieces.forget_all_but(views)
            for route in self.routes.values():
                route.forget_all_but(views)

    def _offer_all(self, route: SinkState) -> None:
        """Worker thread: all that is known to hold more than the sink has."""
        now = self.clock()
        for segment, view in self.collector.segments().items():
            if route.takes(view.segment.source) and route.cursor(segment).offset < view.size:
                route.offer(segment, now)

    # ---------------------------------------------------------------- one sink

    async def keep(self, route: SinkState) -> None:
        """Serve one sink until a drain is over, starting again after a bug in it; returns for good
        when the sink halts.
        """
        pause = FIRST_SECONDS_BEFORE_RESTART
        while True:
            if self.is_halted:
                route.state = "halted"
                return
            began = self.clock()
            try:
                await self._serve(route)
            except SinkStopped as error:
                route.state = "halted"
                log.error("sink.halted", sink=route.name, problem=str(error))
                return
            except Exception as error:  # noqa: BLE001 - one sink's trouble stays its own: it is told, and the sink starts again
                _stay_cancelled(error)
                route.state = "restarting"
                pause = FIRST_SECONDS_BEFORE_RESTART if route.progressed_at > began else pause
                self.metrics.sink_restarts.labels(route.name).inc()
                log.error(
                    "sink.restarting",
                    sink=route.name,
                    kind=type(error).__name__,
                    where=frames(error),
                    pause_seconds=pause,
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, MOST_SECONDS_BEFORE_RESTART)
            else:
                route.state = "drained"
                return
            finally:
                await asyncio.shield(self.work(route.rewind, self.clock()))

    async def _serve(self, route: SinkState) -> None:
        route.state = "connecting"
        await route.delivery.connect()
        try:
            await self.first_scan.wait()
            await self.work(self._offer_all, route)
            route.state = "running"
            log.info("sink.connected", sink=route.name)
            for plan in await asyncio.to_thread(self.journal.plans, route.name):
                await self._advance(route, await self._shipments.repeat(route, plan))
            while await self.step(route):
                pass
        finally:
            await route.delivery.sink.__aexit__(None, None, None)

    async def step(self, route: SinkState) -> bool:
        """Fill one batch and ship it; False when a drain has nothing left for this sink."""
        if route.is_asked:
            await self._redrive(route)
        builder = await self._fill(route)
        if builder.is_empty:
            return route.target is None or route.is_asked or bool(route.ready)
        built = await self.work(builder.close)
        await self._advance(route, await self._shipments.ship(route, built))
        route.sending_seconds = self.clock() - route.filled_at
        return True

    async def _fill(self, route: SinkState) -> BatchBuilder:
        builder = BatchBuilder(route.form)
        route.is_filling = True
        try:
            await self._fill_up(route, builder)
        finally:
            route.is_filling, route.filled_at = False, self.clock()
            self._turned()
        return builder

    async def _fill_up(self, route: SinkState, builder: BatchBuilder) -> None:
        limits = route.options.batch
        started = newest = self.clock()
        while not self._is_full(route, builder):
            while any(route.is_ahead_of(other, self.clock()) for other in self.routes.values()):
                await _happens(self._turn, LOOK_AGAIN_SECONDS)
            route.news.clear()
            was_empty = builder.is_empty
            taken = await self.work(self._take, route, builder)
            self._turned()
            now = self.clock()
            if taken:
                started, newest = (now if was_empty else started), now
            elif route.target is not None or (was_empty and route.is_asked):
                break
            elif was_empty:
                await route.news.wait()
            elif not await _happens(
                route.news, min(started + limits.age, newest + limits.idle) - now
            ):
                break
            if not builder.is_empty and now - started >= limits.age:
                break

    def _turned(self) -> None:
        """Wake the sinks that wait for others to come along."""
        self._turn.set()
        self._turn = asyncio.Event()

    def _is_full(self, route: SinkState, builder: BatchBuilder) -> bool:
        limits = route.options.batch
        return not builder.is_empty and (
            builder.size_bytes >= limits.bytes
            or builder.lines >= limits.lines
            or builder.held_bytes >= route.buffer_bytes
        )

    def _take(self, route: SinkState, builder: BatchBuilder) -> int:
        """Worker thread: up to a step's worth of pieces, one from each ready segment in turn.

        Returns source bytes taken.
        """
        taken, step_bytes = 0, STEP_BYTES // max(len(self.routes), 1)
        while route.ready and taken < step_bytes and not self._is_full(route, builder):
            segment, since = route.ready.popitem(last=False)
            if route.is_over(segment):
                continue
            view = self.collector.segments().get(segment)
            final = view is not None and (view.is_writer_gone or self.writers_are_gone)
            at = route.cursor(segment)
            piece = self._pieces.next(
                segment, at, final=final, flush=final or route.target is not None, now=self.clock()
            )
            if piece is None:
                route.read_all(segment)
                continue
            self._note_read()
            self._add(route, builder, piece, at)
            route.reading[segment] = builder.reached[segment]
            route.ready[segment] = since
            taken += piece.clean.end - piece.clean.start
            route.read_bytes += piece.clean.end - piece.clean.start
        route.held_bytes = builder.held_bytes
        return taken

    def _add(self, route: SinkState, builder: BatchBuilder, piece: Piece, at: Checkpoint) -> None:
        """Worker thread: give a piece to a batch, with what it means where the sink wants that."""
        segment = piece.clean.segment
        events, state = (
            self._material.meanings.of(piece, at.state) if route.form.form.interprets else ((), b"")
        )
        too_large = builder.add(piece, self._pieces.label(segment.id, segment.path), events, state)
        builder.refuse(refused_lines(piece, too_large, route.name, self._pieces))

    def _note_read(self) -> None:
        if not self.has_read:
            self.has_read = True
            log.info("pipeline.first_read")
        self._at("read")

    async def _redrive(self, route: SinkState) -> None:
        """Deliver the refused lines that a person asked for, as far as they pass today."""
        route.is_asked = False
        asked = await asyncio.to_thread(self.journal.asked, route.name)
        if not asked:
            return
        found = await self.work(
            gather, asked, route, self._material, lambda builder: self._is_full(route, builder)
        )
        route.is_waiting = found.is_waiting
        if found.refused or found.gone:
            await asyncio.to_thread(
                self.journal.refuse_redrive, route.name, found.refused, found.gone
            )
            log.warning(
                "sink.redrive_refused",
                sink=route.name,
                refused_again=len(found.refused),
                bytes_gone=len(found.gone),
            )
        if not found.builder.is_empty:
            log.info("sink.redriving", sink=route.name, lines=found.builder.lines)
            built = await self.work(found.builder.close)
            await self._advance(route, await self._shipments.ship(route, built))
        await self.work(self.retain_refused)
        await self.work(
            self._pieces.discard_sealed,
            {entry.line.sealed for entry in asked} - self.journal.sealed_files(),
        )
        route.is_asked = route.is_asked or found.is_cut_off

    async def _advance(self, route: SinkState, committed: Committed) -> None:
        await self.work(self._move, route, committed)

    def _move(self, route: SinkState, committed: Committed) -> None:
        """Worker thread: the journal has it, so the source may let go of it, but for what only it
        has of refused lines.
        """
        if (
            fresh := {line.segment for line in committed.quarantined if not line.sealed}
            - self._retained
        ):
            self._retained |= fresh
            self.collector.retain(self._retained)
        route.advance(committed.reached, self.clock())
        route.held_bytes = 0
        route.is_asked = route.is_asked or route.is_waiting
        self.settle(committed.reached)

    def settle(self, segments: Iterable[int]) -> None:
        """Worker thread: tell the collector how far every sink that must have a segment has come."""
        views = self.collector.segments()
        for segment in segments:
            if segment in views:
                self.collector.settled(segment, self.required_offset(views[segment]))

    def required_offset(self, view: SegmentView) -> int:
        """How far every sink that must have the segment has come; where none must, every sink that
        takes it; where none does, its end.
        """
        takers = [route for route in self.routes.values() if route.takes(view.segment.source)]
        required = [route for route in takers if route.options.required] or takers
        return min(
            (route.committed.get(view.segment.id, BEGINNING).offset for route in required),
            default=view.size,
        )


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, so long at most; tell whether it came."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _stay_cancelled(error: Exception) -> None:
    """A sink that fails while it is being cancelled must not outlive that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
