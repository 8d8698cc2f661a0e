"""Scan the files regularly, and wake the sinks that have something to read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from tracesidecar.errors import StateUnavailable
from tracesidecar.journal import Journal
from tracesidecar.pipeline.side_by_side import SideBySide
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread
from tracesidecar.sanitize import printable
from tracesidecar.tail import LimitName, ReachedLimit, Scan

log = structlog.get_logger()

REST_SECONDS = 0.1
"""How long scans rest at least if nothing that is left is new."""

BURST_SECONDS = 0.05
"""Change events come in bursts: they are gathered for this long before a scan."""


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """What came of the last scans: whether one was over, and whether every file is known."""

    has_scanned: bool = False
    is_settled: bool = False


class ScanLoop:
    """Scans at each poll, and earlier when `wake` is set. For the event loop.

    `first_scan` is set after the first scan that succeeded. `problem` says why the last one failed,
    empty if it did not.
    """

    def __init__(
        self,
        worker: WorkerThread[WorkerContext],
        group: SideBySide,
        journal: Journal,
        *,
        poll_seconds: float,
        wake: asyncio.Event | None = None,
    ) -> None:
        self._wake = wake or asyncio.Event()
        self.first_scan = asyncio.Event()
        self.progress = ScanProgress()
        self.problem = ""
        self._worker = worker
        self._group = group
        self._journal = journal
        self._poll_seconds = poll_seconds
        self._has_more = False
        self._limits: dict[tuple[str, LimitName], ReachedLimit] = {}

    async def run(self) -> None:
        """Scan until cancelled."""
        while True:
            began = time.monotonic()
            scan = await self.try_to_scan(full=False)
            if scan is None or not self._has_more:
                await self._wait_for_changes(self._poll_seconds)
            elif not scan.is_urgent:  # files that change all the time would fill all of it
                took = time.monotonic() - began
                await self._wait_for_changes(min(max(took, REST_SECONDS), self._poll_seconds))

    async def try_to_scan(self, *, full: bool) -> Scan | None:
        """Scan; return None if that failed. The next scan finds what this one did not report."""
        try:
            found = await self.scan(full=full)
        except (StateUnavailable, OSError) as error:
            self.problem = getattr(error, "strerror", None) or str(error)
            log.error("collect.scan_failed", kind=type(error).__name__, problem=self.problem)
            return None
        self.problem = ""
        return found

    async def scan_until_settled(self, seconds: float) -> None:
        """Scan until every file is known to be new, a copy, moved or gone.

        End this many seconds after the first scan was over. `progress` says how far it has come.
        """
        deadline = float("inf")
        self.progress = ScanProgress()
        while True:
            scan = await self.try_to_scan(full=True)
            is_settled = (
                scan is not None
                and not scan.waiting
                and not await self._worker.run(lambda context: context.intake.is_searching())
            )
            self.progress = ScanProgress(self.progress.has_scanned or scan is not None, is_settled)
            now = time.monotonic()
            deadline = min(deadline, now + seconds)
            if is_settled or now >= deadline:
                return
            await asyncio.sleep(min(self._poll_seconds / 4, deadline - now))

    async def scan(self, *, full: bool = False) -> Scan:
        """Scan, and wake every sink that has something to read."""
        try:
            found = await self._worker.run(WorkerContext.scan, full=full)
        except BaseException:
            for sink in self._group.sinks.values():  # what was found before the error is on offer
                sink.wake()
            raise
        self._has_more = found.has_more
        for name in found.ready & self._group.sinks.keys():
            self._group.sinks[name].wake()
        for warning in found.scan.warnings:
            log.warning(
                "collect.warning",
                kind=warning.kind,
                path=printable(warning.path),
                problem=warning.sentence,
            )
        self._report_limits(found.limits)
        await self._refresh_requests(found.scan)
        self.first_scan.set()
        return found.scan

    def _report_limits(self, limits: Iterable[ReachedLimit]) -> None:
        """Log once that a source waits at one of its limits, and once that it goes on."""
        reached = {(each.source, each.limit): each for each in limits}
        for key in reached.keys() - self._limits.keys():
            limit = reached[key]
            log.warning(
                "source.limit_reached",
                source=limit.source,
                limit=limit.limit,
                used=limit.used,
                allowed=limit.allowed,
                waiting=limit.waiting,
                path=printable(limit.path),
                problem=limit.reason,
            )
        for source, name in self._limits.keys() - reached.keys():
            log.info("source.limit_released", source=source, limit=name)
        self._limits = reached

    async def _refresh_requests(self, scan: Scan) -> None:
        """Look for requests to redrive: new ones in the journal, and those that were too early."""
        has_news = await asyncio.to_thread(self._journal.has_changed)
        if has_news:
            await self._worker.run(lambda context: context.intake.retain_rejected())
        for sink in self._group.sinks.values():
            if has_news or (sink.redrives.are_waiting and (scan.changed or scan.losses)):
                sink.request_redrives()

    async def _wait_for_changes(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
                await asyncio.sleep(BURST_SECONDS)
        except TimeoutError:
            return
        self._wake.clear()
