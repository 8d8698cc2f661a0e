"""How the service is: lag, memory, trouble, readiness.

Computed now and then, read by the health pages.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog

from tracesidecar import __version__
from tracesidecar.deliver.events import SinkEvents
from tracesidecar.journal.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.service import Service
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.pipeline.sink_state import SinkPhase, SinkState
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.tail import Scan, SegmentState

log = structlog.get_logger()

STALL_SECONDS = 120.0
"""With something to deliver and nothing delivered for so long (and three times the batch age), a
sink is not ready.
"""


class SinkHealth(msgspec.Struct, frozen=True):
    """One sink's part of /status.

    Lag counts bytes on disk that the destination does not have; `trouble` is empty while all is
    well.
    """

    name: str
    state: str
    required: bool
    lag_bytes: int
    lag_seconds: float
    retries: int
    trouble: str


class Health(msgspec.Struct, frozen=True):
    """The document of /status."""

    version: str
    is_ready: bool
    why_not: tuple[str, ...]
    files: int
    segments: int
    held_bytes: int
    at_risk_bytes: int
    memory_bytes: int
    sinks: tuple[SinkHealth, ...]


@dataclass(slots=True)
class _Known:
    retries: int = 0
    state: str = ""


@dataclass(frozen=True, slots=True)
class _Backlog:
    """What one sink has yet to deliver."""

    lag_bytes: int
    behind_since: float | None
    held_bytes: int


@dataclass(frozen=True, slots=True)
class _Stock:
    """What the worker thread knows: sizes and counts, and the backlog of each sink."""

    backlogs: dict[str, _Backlog]
    scan: Scan | None
    scanned_at: float
    files: dict[tuple[str, SegmentState], int]
    at_risk_bytes: int
    cached_bytes: int


class HealthMonitor:
    """Looks at the service, and keeps the gauges and the journal's sink states up to date."""

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        journal: Journal,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._journal = journal
        self._clock = clock
        self._noted: dict[str, _Known] = {}
        self._sinks: set[str] = set()
        self._counted: set[tuple[str, SegmentState]] = set()

    async def look(self) -> Health:
        """Take stock. The cost grows with what is behind, not with what is there."""
        stock = await self._service.worker.run(_take_stock)
        return self._health(stock)

    async def record(self, health: Health) -> None:
        """Write the sinks' states to the journal; if it cannot be written, do so later."""
        for sink in health.sinks:
            known = self._noted.get(sink.name, _Known())
            if (known.retries, known.state) == (sink.retries, sink.state):
                continue
            fresh = sink.retries - known.retries if sink.retries >= known.retries else sink.retries
            try:
                await asyncio.to_thread(
                    self._journal.note_sink, sink.name, retries=fresh, state=sink.state
                )
            except sqlite3.OperationalError as error:
                log.warning("journal.unwritable", sink=sink.name, problem=str(error))
            else:
                self._noted[sink.name] = _Known(sink.retries, sink.state)

    def _health(self, stock: _Stock) -> Health:
        metrics, now, states = self._metrics, self._clock(), self._service.sinks
        sinks = tuple(
            self._sink(state, stock.backlogs[name], now)
            for name, state in states.items()
            if name in stock.backlogs
        )
        why_not = tuple(
            reason for sink in sinks if (reason := _stalled(states[sink.name], sink, now))
        )
        if self._service.is_halted:
            why_not = (
                "the redaction has failed its test: nothing is shipped, see the log",
                *why_not,
            )
        unseen = now - stock.scanned_at
        if stock.scan is None:
            why_not = ("the first look at the files is not over", *why_not)
        elif unseen > STALL_SECONDS and not any(state.is_draining for state in states.values()):
            why_not = (
                f"the files could not be looked at for {unseen:.0f} s: see the log",
                *why_not,
            )
        for name in self._sinks - states.keys():
            metrics.forget_sink(name)
        self._sinks = set(states)
        self._counted |= stock.files.keys()
        for source, state in self._counted:
            metrics.files.labels(source, state).set(stock.files.get((source, state), 0))
        memory = stock.cached_bytes + sum(each.held_bytes for each in stock.backlogs.values())
        held = stock.scan.held_bytes if stock.scan else 0
        metrics.held_bytes.set(held)
        metrics.at_risk_bytes.set(stock.at_risk_bytes)
        metrics.memory_used.set(memory)
        return Health(
            __version__,
            not why_not,
            why_not,
            stock.scan.files if stock.scan else 0,
            sum(stock.files.values()),
            held,
            stock.at_risk_bytes,
            memory,
            sinks,
        )

    def _sink(self, state: SinkState, backlog: _Backlog, now: float) -> SinkHealth:
        since = backlog.behind_since
        seconds = now - since if backlog.lag_bytes and since is not None else 0.0
        self._metrics.lag_bytes.labels(state.name).set(backlog.lag_bytes)
        self._metrics.lag_seconds.labels(state.name).set(seconds)
        events = state.delivery.events
        retries, trouble = (
            (events.retries, events.trouble) if isinstance(events, SinkEvents) else (0, "")
        )
        return SinkHealth(
            state.name,
            state.phase.value,
            state.options.required,
            backlog.lag_bytes,
            round(seconds, 1),
            retries,
            trouble,
        )


def _take_stock(context: WorkerContext) -> _Stock:
    intake = context.intake
    return _Stock(
        {name: _backlog(context, sink) for name, sink in intake.sinks.items()},
        intake.last_scan,
        intake.scanned_at,
        dict(context.tailer.counts()),
        _at_risk(context),
        context.cached_bytes,
    )


def _backlog(context: WorkerContext, sink: SinkCursors) -> _Backlog:
    return _Backlog(
        sum(_behind(context, sink, segment) for segment in sink.behind_since),
        min(sink.behind_since.values(), default=None),
        sink.held_bytes,
    )


def _at_risk(context: WorkerContext) -> int:
    """Return the undelivered bytes of segments that nothing protects from deletion.

    The sink that is furthest behind counts.
    """
    sinks, views = context.intake.sinks.values(), context.tailer.segments()
    behind = {segment for sink in sinks for segment in sink.behind_since if segment in views}
    return sum(
        max(_behind(context, sink, segment) for sink in sinks)
        for segment in behind
        if views[segment].protection == "none"
    )


def _behind(context: WorkerContext, sink: SinkCursors, segment: int) -> int:
    view = context.tailer.segments().get(segment)
    if view is None or segment not in sink.behind_since:
        return 0
    return max(0, view.size - sink.committed(segment).offset)


def _stalled(state: SinkState, sink: SinkHealth, now: float) -> str:
    """Return why this sink keeps the service from being ready, or an empty text."""
    patience = max(STALL_SECONDS, 3 * state.options.batch.age)
    if not sink.required:
        return ""
    if state.phase is SinkPhase.STOPPED:
        return f"sink {sink.name} is halted: see the log"
    idle = now - state.progressed_at
    if sink.lag_bytes and idle > patience and sink.lag_seconds > patience:
        return (
            f"sink {sink.name} has delivered nothing for {idle:.0f} s "
            f"with {sink.lag_bytes} bytes to deliver"
        )
    return ""
