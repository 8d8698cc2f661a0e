"""How the service is: lag, memory, trouble, readiness."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from tracesidecar import __version__
from tracesidecar.config import Configuration
from tracesidecar.daemon.worker_snapshot import SnapshotBuilder, Unread, WorkerSnapshot
from tracesidecar.deliver import DeliveryEvents
from tracesidecar.errors import StateUnavailable
from tracesidecar.introspect.lag import Lag, LagMeter
from tracesidecar.introspect.status import (
    Figures,
    LimitReport,
    StatusReport,
    build_report,
    report_limits,
)
from tracesidecar.journal import Journal
from tracesidecar.metrics import CounterKey, Metrics
from tracesidecar.pipeline import Service, SinkPhase, SinkState, WorkerContext
from tracesidecar.sanitize import printable
from tracesidecar.tail import (
    LimitName,
    LinkedFiles,
    SegmentState,
    SkipReason,
    SourceSummary,
    UnreadablePath,
    UnreadFile,
)

log = structlog.get_logger()

ANSWER_SECONDS = 2.0
"""How long to wait for the worker thread before its last answer is used."""

STALL_SECONDS = 120.0
"""A sink that has something to deliver and has delivered nothing for so long, and for three times
its batch age, makes the service not ready.
"""


class SinkHealth(msgspec.Struct, frozen=True):
    """One sink's part of /status.

    `lag_bytes` and `lag_seconds` are defined by `introspect.lag.Lag`. `retries` counts since the
    sink first ran with this state directory. `trouble` is empty while all is well.
    """

    name: str
    state: str
    required: bool
    lag_bytes: int
    lag_seconds: float
    retries: int
    trouble: str


class Health(msgspec.Struct, frozen=True):
    """The document of /status. `limits` are the budgets at which sources wait.

    `stuck_seconds` is for how long the worker thread has been standing still. `files` have a name;
    `segments` are all that are known, also files that are gone.
    `at_risk_bytes` is defined by `introspect.lag.LagReport`.
    """

    version: str
    is_ready: bool
    why_not: tuple[str, ...]
    stuck_seconds: float
    files: int
    segments: int
    held_bytes: int
    at_risk_bytes: int
    memory_bytes: int
    sinks: tuple[SinkHealth, ...]
    limits: tuple[LimitReport, ...] = ()

    @classmethod
    def before_start(cls, reason: str) -> Health:
        """Return how a process is that cannot ship yet for that reason."""
        return cls(__version__, False, (reason,), 0.0, 0, 0, 0, 0, 0, ())


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What the journal has recorded of a sink."""

    retries: int
    state: str = ""


class _RetryCounts:
    """Retries of each sink over all runs."""

    def __init__(self, before: Mapping[str, int]) -> None:
        """`before` has the retries of earlier runs, by sink."""
        self._before = dict(before)
        self._events: dict[str, DeliveryEvents] = {}

    def count(self, sink: str, events: DeliveryEvents) -> int:
        """Return the retries of a sink; its events are new ones after a reload has changed it."""
        former = self._events.get(sink)
        if former is not None and former is not events:
            self._before[sink] = self._before.get(sink, 0) + former.retries
        self._events[sink] = events
        return self._before.get(sink, 0) + events.retries


class HealthMonitor:
    """Observes the service, and keeps the gauges and the journal's record of the sinks up to date.

    For the event loop.
    """

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        journal: Journal,
        *,
        list_troubles: Callable[[], Iterable[str]] = lambda: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`list_troubles` returns why the process is not ready whatever the service does.

        `clock` is that of the service.
        """
        self._list_troubles = list_troubles
        self._snapshot: WorkerSnapshot | None = None
        self._builder = SnapshotBuilder(clock)
        self._asking: asyncio.Future[WorkerSnapshot | None] | None = None
        self._saved: dict[CounterKey, float] = {}
        self._service = service
        self._metrics = metrics
        self._journal = journal
        self._clock = clock
        self._recorded = {row.name: _Recorded(row.retries) for row in journal.sinks.load()}
        self._retries = _RetryCounts({name: row.retries for name, row in self._recorded.items()})
        self._sinks: set[str] = set()
        self._counted: set[tuple[str, SegmentState]] = set()
        self._troubled: set[str] = set()
        self._skipping: set[tuple[str, SkipReason]] = set()
        self._limited: set[tuple[str, LimitName]] = set()

    async def check_health(self) -> Health:
        """Return how the service is now; the cost grows with the backlog, not with the files."""
        return self._health(await self._take_snapshot())

    @property
    def stuck_seconds(self) -> float:
        """For how long the worker thread has been standing still; 0 while it moves or rests."""
        return time.monotonic() - self._service.worker.moved_at

    async def _take_snapshot(self) -> WorkerSnapshot:
        """Ask the worker thread; while it is at work on something large, return what it said last.

        Whoever asks has to know in time that it works.
        """
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            if self._asking is None:  # else the last question is not answered yet
                self._builder = SnapshotBuilder(self._clock)
                self._asking = self._service.worker.ask(self._builder.go_on)
            asking = self._asking
            answered, _ = await asyncio.wait([asking], timeout=until - time.monotonic())
            if not answered:
                break
            if self._asking is asking:  # else somebody else has asked and goes on
                self._asking = None
            snapshot = asking.result()
            if snapshot is not None:
                return snapshot
            if self._asking is None:
                self._asking = self._service.worker.ask(self._builder.go_on)
        if self._snapshot is None:  # the first scan of a large tree is under way
            options = [sink.options for sink in self._service.sinks.values()]
            return WorkerSnapshot(
                LagMeter(options, time.time()).report(), {}, None, self._clock(), {}, 0, (), {}
            )
        return self._snapshot

    async def report(self, configuration: Configuration) -> StatusReport:
        """Return what `status` shows. The figures that /status has too are computed as there."""
        snapshot, sources = await self._service.worker.ask(_take_full_snapshot, clock=self._clock)
        health = self._health(snapshot)
        figures = Figures(
            snapshot.lag,
            states={sink.name: sink.state for sink in health.sinks},
            retries={sink.name: sink.retries for sink in health.sinks},
            sources=sources,
            deleted_bytes=snapshot.scan.deleted_bytes if snapshot.scan else 0,
            set_aside=snapshot.scan.set_aside if snapshot.scan else LinkedFiles(),
            limits=snapshot.limits,
            troubles={sink.name: sink.trouble for sink in health.sinks},
        )
        report = await asyncio.to_thread(
            build_report, configuration, self._journal, figures, running=True
        )
        return msgspec.structs.replace(report, ready=health.is_ready, why_not=health.why_not)

    async def record(self, health: Health) -> None:
        """Write the sinks' states and retries into the journal; if that fails, do it next time.

        The same for the counters that no commit writes.
        """
        await self.save_counters()
        for sink in health.sinks:
            recorded = self._recorded.get(sink.name, _Recorded(0))
            now = _Recorded(sink.retries, sink.state)
            if recorded == now:
                continue
            try:
                await asyncio.to_thread(
                    self._journal.sinks.record_state,
                    sink.name,
                    retries=now.retries - recorded.retries,
                    state=now.state,
                )
            except StateUnavailable as error:
                log.warning("journal.unwritable", sink=sink.name, problem=str(error))
            else:
                self._recorded[sink.name] = now

    async def save_counters(self) -> None:
        """Write the counters that no commit writes into the journal, if they have changed."""
        totals = self._metrics.list_totals()
        if totals == self._saved:
            return
        try:
            await asyncio.to_thread(self._journal.counters.save, totals)
        except StateUnavailable as error:
            log.warning("journal.unwritable", problem=str(error))
        else:
            self._saved = totals

    def _health(self, snapshot: WorkerSnapshot) -> Health:
        states = self._service.sinks
        self._snapshot = snapshot
        sinks = tuple(
            self._sink_health(state, snapshot.lag.sinks[name])
            for name, state in states.items()
            if name in snapshot.lag.sinks
        )
        why_not = tuple(self._why_not_ready(snapshot, sinks))
        health = Health(
            __version__,
            is_ready=not why_not,
            why_not=why_not,
            stuck_seconds=round(self.stuck_seconds, 1),
            files=sum(
                count for (_, state), count in snapshot.files.items() if state is SegmentState.LIVE
            ),
            segments=sum(snapshot.files.values()),
            held_bytes=snapshot.scan.held_bytes if snapshot.scan else 0,
            at_risk_bytes=sum(snapshot.lag.at_risk_bytes.values()),
            memory_bytes=sum(snapshot.held_bytes.values()) + snapshot.cached_bytes,
            sinks=sinks,
            limits=report_limits(snapshot.limits),
        )
        self._set_gauges(health, snapshot)
        return health

    def _sink_health(self, state: SinkState, lag: Lag) -> SinkHealth:
        events = state.delivery.events
        return SinkHealth(
            state.name,
            state.phase.value,
            state.options.required,
            lag.bytes,
            lag.seconds,
            self._retries.count(state.name, events),
            events.trouble.encode("utf-8", "backslashreplace").decode(),  # it may quote any path
        )

    def _set_gauges(self, health: Health, snapshot: WorkerSnapshot) -> None:
        metrics, names, files = self._metrics, {sink.name for sink in health.sinks}, snapshot.files
        for name in self._sinks - names:
            metrics.forget_sink(name)
        self._sinks = names
        for sink in health.sinks:
            metrics.lag_bytes.labels(sink.name).set(sink.lag_bytes)
            metrics.lag_seconds.labels(sink.name).set(sink.lag_seconds)
        self._counted |= files.keys()
        for source, state in self._counted:
            metrics.files.labels(source, state).set(files.get((source, state), 0))
        unreadable = Counter(place.source for place in snapshot.unreadable)
        for source in {source for source, _ in self._counted} | self._troubled | unreadable.keys():
            metrics.unreadable.labels(source).set(unreadable[source])
        self._troubled |= unreadable.keys()
        self._skipping |= snapshot.skipped.keys()
        for source, reason in self._skipping:
            metrics.skipped.labels(source, reason).set(snapshot.skipped.get((source, reason), 0))
        reached = {(each.source, each.limit) for each in snapshot.limits}
        self._limited |= reached
        for source, limit in self._limited:
            metrics.limit_reached.labels(source, limit).set((source, limit) in reached)
        metrics.ready.set(health.is_ready)
        metrics.held_bytes.set(health.held_bytes)
        metrics.at_risk_bytes.set(health.at_risk_bytes)
        metrics.memory_used.set(health.memory_bytes)

    def _why_not_ready(
        self, snapshot: WorkerSnapshot, sinks: tuple[SinkHealth, ...]
    ) -> Iterator[str]:
        states, now = self._service.sinks, self._clock()
        yield from self._list_troubles()
        unseen = now - snapshot.scanned_at
        if self.stuck_seconds > STALL_SECONDS:
            yield describe_stuck(self.stuck_seconds)
        if problem := self._service.scans.problem:
            yield f"the files cannot be scanned now: {problem}"
        elif snapshot.scan is None:
            yield "the first scan of the files is not over"
        elif (
            unseen > STALL_SECONDS
            and not self._service.worker.is_busy
            and not any(state.is_draining for state in states.values())
        ):
            yield f"the files could not be scanned for {unseen:.0f} s: see the log"
        if self._service.is_stopped:
            yield "the redaction has failed its test: nothing is shipped, see the log"
        yield from _describe_unreadable(snapshot.unreadable)
        yield from _describe_unread(snapshot.unread, [sink.name for sink in sinks if sink.required])
        for limit in report_limits(snapshot.limits):
            yield f"source {limit.source}: {limit.reason}"
        for sink in sinks:
            if reason := _stall(states[sink.name], sink, now):
                yield reason


def describe_stuck(seconds: float) -> str:
    """Say for how long the worker thread has not moved."""
    return f"the worker thread has been standing still for {seconds:.0f} s"


def _take_full_snapshot(
    context: WorkerContext, *, clock: Callable[[], float]
) -> tuple[WorkerSnapshot, dict[str, SourceSummary]]:
    builder = SnapshotBuilder(clock)
    while (snapshot := builder.go_on(context)) is None:
        pass
    return snapshot, context.tailer.summarize()


def _describe_unreadable(places: Sequence[UnreadablePath]) -> Iterator[str]:
    """Name the sources of which a directory cannot be listed, with the first by path of each."""
    first: dict[str, UnreadablePath] = {}
    for place in sorted(places, key=lambda place: place.path):
        if place.is_directory:
            first.setdefault(place.source, place)
    for source, place in first.items():
        yield (
            f"source {source}: the directory {printable(place.path)} cannot be listed "
            f"({place.problem}): let the daemon's user read it"
        )


def _describe_unread(unread: Sequence[Unread], required: Sequence[str]) -> Iterator[str]:
    """Say for each source what required sinks lack and nobody can read, with the first path."""
    by_source: dict[str, list[tuple[UnreadFile, int]]] = {}
    for each in unread:
        if lacking := each.measure(required):
            by_source.setdefault(each.file.segment.source, []).append((each.file, lacking))
    for source, found in by_source.items():
        first, _ = min(found, key=lambda each: each[0].segment.path)
        size = sum(lacking for _, lacking in found)
        files = "1 file" if len(found) == 1 else f"{len(found)} files, such as"
        yield (
            f"source {source}: {size} bytes of {files} {printable(first.segment.path)} cannot be "
            f"read ({first.problem}): let the daemon's user read it, or its link in held/"
        )


def _stall(state: SinkState, sink: SinkHealth, now: float) -> str:
    """Return why this sink keeps the service from being ready, empty if it does not."""
    patience = max(STALL_SECONDS, 3 * state.options.batch.age)
    if not sink.required:
        return ""
    if state.phase is SinkPhase.STOPPED:
        return f"sink {sink.name} has stopped: see the log"
    trouble = f": {sink.trouble}" if sink.trouble else ""
    if state.phase is SinkPhase.WAITING_FOR_JOURNAL:
        return f"sink {sink.name} waits for the journal, which cannot be used now: see the log"
    if state.phase is SinkPhase.RESTARTING:
        return f"sink {sink.name} has failed and is started again: see the log"
    if state.phase is SinkPhase.CONNECTING and sink.trouble:
        return f"sink {sink.name} cannot connect{trouble}"
    if state.is_attempting:
        return ""
    idle = now - state.progress.moved_at
    if sink.lag_bytes and idle > patience and sink.lag_seconds > patience:
        return (
            f"sink {sink.name} has delivered nothing for {idle:.0f} s "
            f"with {sink.lag_bytes} bytes to deliver{trouble}"
        )
    return ""
