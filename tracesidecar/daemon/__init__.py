"""The daemon's ways to run: as a service, once, or around an agent.

Each returns the process's exit code.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import structlog

from tracesidecar import logs
from tracesidecar.config.load import Loaded
from tracesidecar.daemon.child_process import Agent
from tracesidecar.daemon.daemon import Daemon, Mode, terminal
from tracesidecar.journal import lock
from tracesidecar.journal.journal import Journal
from tracesidecar.pipeline.service import DrainResult, LeftBehind
from tracesidecar.pipeline.sink_loop import ignore

log = structlog.get_logger()

LEFT_BEHIND = 75
STRICT = 65
MOST_LISTED = 20


class Outcome(msgspec.Struct, frozen=True):
    """What `--json` prints. `reason` is empty or `left_behind`."""

    reason: str
    left: tuple[LeftBehind, ...] = ()
    torn: tuple[LeftBehind, ...] = ()
    quarantined: int = 0


def run(loaded: Loaded, *, at: Callable[[str], None] = ignore) -> int:
    """Follow and ship until told to stop."""
    progress = terminal()
    logs.configure(progress)
    outcome, code = _locked(
        loaded, lambda journal: _run(loaded, journal, Mode(progress=progress, at=at))
    )
    _tell(outcome)
    return code


def ship_once(
    loaded: Loaded, *, strict: bool, as_json: bool, at: Callable[[str], None] = ignore
) -> int:
    """Ship all that is there now."""
    progress = terminal()
    logs.configure(progress)
    outcome, code = _locked(
        loaded, lambda journal: _run(loaded, journal, Mode(once=True, progress=progress, at=at))
    )
    _tell(outcome)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
    return STRICT if code == 0 and strict and outcome.quarantined else code


def exec_command(
    loaded: Loaded, command: Sequence[str], *, at: Callable[[str], None] = ignore
) -> int:
    """Ship while the agent runs and drain after it; its own exit code comes first."""
    logs.configure()
    agent = Agent(command)
    outcome, code = _locked(loaded, lambda journal: _run(loaded, journal, Mode(at=at), agent))
    _tell(outcome)
    if agent.exit_code in {126, 127}:
        log.error(
            "exec.failed",
            problem="the command cannot be started: is it installed and executable?",
            exit_code=agent.exit_code,
        )
    return agent.exit_code or code


async def _run(
    loaded: Loaded, journal: Journal, mode: Mode, agent: Agent | None = None
) -> DrainResult:
    daemon = Daemon(loaded, journal, mode)

    async def beside(daemon: Daemon) -> None:
        if agent is not None:
            await daemon.started.wait()
            await agent.run()

    return await daemon.run(beside if agent is not None else None)


def _locked(
    loaded: Loaded, work: Callable[[Journal], Coroutine[Any, Any, DrainResult]]
) -> tuple[Outcome, int]:
    """Hold the state directory and run. Raises StateLocked where another process holds it."""
    directory = loaded.configuration.state_directory
    lock.prepare(directory)
    with lock.locked(directory):
        journal = Journal.open(directory)
        try:
            result = asyncio.run(work(journal))
            quarantined = journal.newly_refused
        finally:
            journal.close()
    is_complete = result.has_looked and not result.left
    return Outcome(
        "" if is_complete else "left_behind", result.left, result.torn, quarantined
    ), 0 if is_complete else LEFT_BEHIND


def _tell(outcome: Outcome) -> None:
    for torn in outcome.torn[:MOST_LISTED]:
        log.info(
            "drain.unfinished_line",
            sink=torn.sink,
            path=torn.path,
            offset=torn.offset,
            bytes=torn.size - torn.offset,
        )
    for left in outcome.left[:MOST_LISTED]:
        log.error(
            "drain.left_behind",
            sink=left.sink,
            path=left.path,
            offset=left.offset,
            bytes=left.size - left.offset,
        )
    if outcome.reason:
        log.error(
            "drain.incomplete",
            ranges=len(outcome.left),
            remedy="it stays on disk and is delivered by the next run with this state directory",
        )
    else:
        log.info("drain.complete", quarantined=outcome.quarantined)
