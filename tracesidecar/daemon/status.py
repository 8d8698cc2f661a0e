"""How the service is: lag, memory, trouble, readiness.

Computed now and then, read by the health pages.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass

import msgspec
import structlog

from tracesidecar import __version__
from tracesidecar.deliver.events import SinkEvents
from tracesidecar.journal.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.sink_loop import Pipeline
from tracesidecar.pipeline.sink_state import SinkState
from tracesidecar.tail.segments import State

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


class HealthMonitor:
    """Looks at a pipeline and keeps the gauges and the journal's sink states true."""

    def __init__(self, pipeline: Pipeline, metrics: Metrics, journal: Journal) -> None:
        self._pipeline = pipeline
        self._metrics = metrics
        self._journal = journal
        self._noted: dict[str, _Known] = {}
        self._sinks: set[str] = set()
        self._counted: set[tuple[str, State]] = set()

    async def look(self) -> Health:
        """Take stock; cost goes with what is behind, not with what is there."""
        return await self._pipeline.work(self._take_stock)

    async def record(self, health: Health) -> None:
        """Have the journal know how the sinks are; one that cannot be written learns it later."""
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

    def _take_stock(self) -> Health:
        pipeline, metrics = self._pipeline, self._metrics
        now, scan = pipeline.clock(), pipeline.last_scan
        routes = tuple(pipeline.routes.values())
        sinks = tuple(self._sink(route, now) for route in routes)
        why_not = tuple(
            reason
            for route, sink in zip(routes, sinks, strict=True)
            if (reason := _stalled(route, sink, now))
        )
        if pipeline.is_halted:
            why_not = (
                "the redaction has failed its test: nothing is shipped, see the log",
                *why_not,
            )
        if scan is None:
            why_not = ("the first look at the files is not over", *why_not)
        elif now - pipeline.scanned_at > STALL_SECONDS and all(
            route.target is None for route in routes
        ):
            why_not = (
                f"the files could not be looked at for {now - pipeline.scanned_at:.0f} s: see the log",
                *why_not,
            )
        for name in self._sinks - pipeline.routes.keys():
            metrics.forget_sink(name)
        self._sinks = set(pipeline.routes)
        files = pipeline.collector.counts()
        self._counted |= files.keys()
        for source, state in self._counted:
            metrics.files.labels(source, state).set(files.get((source, state), 0))
        memory = sum(route.held_bytes for route in pipeline.routes.values()) + pipeline.cached_bytes
        held = scan.held_bytes if scan else 0
        metrics.held_bytes.set(held)
        at_risk = self._at_risk()
        metrics.at_risk_bytes.set(at_risk)
        metrics.memory_used.set(memory)
        return Health(
            __version__,
            not why_not,
            why_not,
            scan.files if scan else 0,
            sum(files.values()),
            held,
            at_risk,
            memory,
            sinks,
        )

    def _at_risk(self) -> int:
        """Undelivered bytes, by the sink that is furthest behind, of the segments that nothing
        protects from deletion.
        """
        routes, views = self._pipeline.routes.values(), self._pipeline.collector.segments()
        behind = {segment for route in routes for segment in route.behind_since if segment in views}
        return sum(
            max(self._behind(route, segment) for route in routes)
            for segment in behind
            if views[segment].protection == "none"
        )

    def _behind(self, route: SinkState, segment: int) -> int:
        view = self._pipeline.collector.segments().get(segment)
        if view is None or segment not in route.behind_since:
            return 0
        committed = route.committed.get(segment)
        return max(0, view.size - (committed.offset if committed else 0))

    def _sink(self, route: SinkState, now: float) -> SinkHealth:
        lag = sum(self._behind(route, segment) for segment in route.behind_since)
        seconds = now - min(route.behind_since.values()) if lag else 0.0
        self._metrics.lag_bytes.labels(route.name).set(lag)
        self._metrics.lag_seconds.labels(route.name).set(seconds)
        events = route.delivery.events
        retries, trouble = (
            (events.retries, events.trouble) if isinstance(events, SinkEvents) else (0, "")
        )
        return SinkHealth(
            route.name,
            route.state,
            route.options.required,
            lag,
            round(seconds, 1),
            retries,
            trouble,
        )


def _stalled(route: SinkState, sink: SinkHealth, now: float) -> str:
    """Why this sink keeps the service from being ready, empty when it does not."""
    patience = max(STALL_SECONDS, 3 * route.options.batch.age)
    if not sink.required:
        return ""
    if sink.state == "halted":
        return f"sink {sink.name} is halted: see the log"
    if sink.lag_bytes and now - route.progressed_at > patience and sink.lag_seconds > patience:
        return f"sink {sink.name} has delivered nothing for {now - route.progressed_at:.0f} s with {sink.lag_bytes} bytes to deliver"
    return ""
