"""The three ways to run the daemon: as a service, once, or around an agent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence

import msgspec
import structlog

from tracesidecar import logs
from tracesidecar.config import LoadedConfiguration
from tracesidecar.daemon.child_process import ChildProcess
from tracesidecar.daemon.daemon import Daemon, Ended
from tracesidecar.daemon.generation import Mode
from tracesidecar.daemon.progress import ProgressLine
from tracesidecar.errors import StateError, StateUnavailable
from tracesidecar.exit_codes import ExitCode
from tracesidecar.introspect.status import LimitReport, report_limits
from tracesidecar.isolation import Caller
from tracesidecar.pipeline import DrainEnd, UndeliveredRange, ignore

log = structlog.get_logger()

MOST_LISTED = 20
"""How many undelivered ranges are logged one by one; the count is always logged."""

SWITCH_SECONDS = 0.0005
"""How long a thread may compute while another one waits.

Sending and committing a batch waits for the disk a dozen times; with Python's 5 ms, each wait would
take that much longer while the worker thread is busy.
"""


_STAYS = "the data stays on disk; the next run with this state directory delivers it"
_IS_LOST = (
    "the file was deleted, and only this process could read it: what has not arrived of it is lost"
)
_LET_READ = "let this user read the file, or what keeps it in held/"


class Outcome(msgspec.Struct, frozen=True):
    """What `--json` prints. `reason` is empty, or `left_behind` if undelivered data remains.

    `end` is why the drain ended, and `has_scanned` whether its scan was over: if not, there may be
    more than `left` has. `undecided` is how many files may be copies in progress. `limits` are the
    budgets because of which files were not read, or not to the end.
    """

    reason: str
    end: DrainEnd = DrainEnd.COMPLETE
    seconds: float = 0.0
    has_scanned: bool = True
    left: tuple[UndeliveredRange, ...] = ()
    torn: tuple[UndeliveredRange, ...] = ()
    quarantined: int = 0
    undecided: int = 0
    is_settled: bool = True
    limits: tuple[LimitReport, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Return how the process ends, leaving aside `--strict` and the exit code of an agent."""
        return ExitCode.LEFT_BEHIND if self.reason else ExitCode.DONE


def run(loaded: LoadedConfiguration, *, at: Callable[[str], None] = ignore) -> int:
    """Follow and ship until a signal stops the process; return its exit code."""
    return _run_and_report(loaded, Mode(progress=_terminal(), at=at)).exit_code


def ship_once(
    loaded: LoadedConfiguration,
    *,
    strict: bool,
    print_outcome: Callable[[bytes], None] | None = None,
    at: Callable[[str], None] = ignore,
) -> int:
    """Ship everything that is there now; return the exit code.

    `print_outcome` gets the outcome as one JSON document.
    """
    outcome = _run_and_report(loaded, Mode(once=True, progress=_terminal(), at=at))
    if print_outcome is not None:
        print_outcome(msgspec.json.encode(outcome) + b"\n")
    if strict and outcome.quarantined and outcome.exit_code == ExitCode.DONE:
        return ExitCode.QUARANTINED
    return outcome.exit_code


def exec_command(
    loaded: LoadedConfiguration,
    command: Sequence[str],
    caller: Caller,
    *,
    at: Callable[[str], None] = ignore,
) -> int:
    """Ship while the agent runs, and drain after it; return its exit code unless that is 0."""
    child = ChildProcess(command, caller)
    outcome = _run_and_report(loaded, Mode(at=at, child=child))
    if child.exit_code in {child.NOT_EXECUTABLE, child.NOT_FOUND}:
        log.error(
            "exec.failed",
            problem="the command cannot be started: is it installed and executable? Without a "
            "slash in it, it is looked for in the absolute directories of PATH, not in this one",
            exit_code=child.exit_code,
        )
    return child.exit_code or outcome.exit_code


def _run_and_report(loaded: LoadedConfiguration, mode: Mode) -> Outcome:
    """Run until drained, and log how it ended. Raise as `Daemon.run`."""
    logs.configure(mode.progress)
    sys.setswitchinterval(SWITCH_SECONDS)
    ended = asyncio.run(_run_until_drained(loaded, mode))
    result = ended.drained
    is_complete = result.has_scanned and result.is_settled and not (result.left or result.limits)
    outcome = Outcome(
        "" if is_complete else "left_behind",
        result.end,
        round(result.seconds, 1),
        result.has_scanned,
        result.left,
        result.torn,
        ended.rejected,
        result.undecided,
        result.is_settled,
        report_limits(result.limits),
    )
    _log_outcome(outcome)
    return outcome


async def _run_until_drained(loaded: LoadedConfiguration, mode: Mode) -> Ended:
    try:
        return await Daemon(loaded, mode).run()
    except ExceptionGroup as group:
        # damage of the journal may be met by several tasks, each in a group of its own
        if (errors := group.subgroup(StateError)) is None:
            raise
        raise _first_leaf(errors) from group


def _first_leaf(group: ExceptionGroup[StateError]) -> StateError:
    """Return an error of the group, if possible one that is not temporary."""
    leaves = [
        _first_leaf(each) if isinstance(each, ExceptionGroup) else each for each in group.exceptions
    ]
    return next((leaf for leaf in leaves if not isinstance(leaf, StateUnavailable)), leaves[0])


def _log_outcome(outcome: Outcome) -> None:
    for torn in outcome.torn[:MOST_LISTED]:
        log.info(
            "drain.unfinished_line",
            sink=torn.sink,
            path=torn.path,
            offset=torn.offset,
            bytes=torn.size - torn.offset,
        )
    for left in outcome.left[:MOST_LISTED]:
        reason = {"problem": f"{left.problem}: {_LET_READ}"} if left.problem else {}
        if left.is_lost:
            reason = {"problem": _IS_LOST}
        log.error(
            "drain.left_behind",
            sink=left.sink,
            path=left.path,
            offset=left.offset,
            bytes=left.size - left.offset,
            **reason,
        )
    if outcome.reason:
        size = sum(left.size - left.offset for left in outcome.left)
        known = {"ranges": len(outcome.left), "bytes": size} if outcome.left else {}
        log.error(
            "drain.incomplete",
            end=outcome.end,
            problem=_describe_end(outcome),
            seconds=outcome.seconds,
            **known,
            remedy=_describe_remedy(outcome.left),
        )
    else:
        log.info("drain.complete", seconds=outcome.seconds, quarantined=outcome.quarantined)


def _describe_remedy(left: Sequence[UndeliveredRange]) -> str:
    """Return what happens to undelivered data, and what would have kept it."""
    lost = [each for each in left if each.is_lost]
    if not lost:
        return _STAYS
    size = sum(each.size - each.offset for each in lost)
    remedy = (
        f"{size} bytes of deleted files end with this process, which alone could read them. Where "
        "mount and owner allow it, a hard link keeps such bytes: see protect and hold_directory of "
        "the source"
    )
    return remedy if len(lost) == len(left) else f"{remedy}. For the others: {_STAYS}"


def _describe_end(outcome: Outcome) -> str:
    if not outcome.has_scanned:
        return (
            f"{outcome.end.sentence}, before the last scan of the files was over: "
            "there may be more than is listed"
        )
    if outcome.undecided:
        files = "1 file" if outcome.undecided == 1 else f"{outcome.undecided} files"
        return (
            f"{outcome.end.sentence}, while {files} still had to rest for copy_grace: what begins "
            "like another file may be a copy that is being written"
        )
    if not outcome.is_settled:
        return (
            f"{outcome.end.sentence}, while files that are missing were still looked for: they "
            "are given up after copy_grace"
        )
    if outcome.limits and not outcome.left:
        return "; ".join(f"source {each.source}: {each.reason}" for each in outcome.limits)
    unread = [left for left in outcome.left if left.problem]
    if unread:
        size = sum(left.size - left.offset for left in unread)
        return (
            f"{outcome.end.sentence}: {size} bytes cannot be read, the first of {unread[0].path} "
            f"({unread[0].problem}); {_LET_READ}"
        )
    return outcome.end.sentence


def _terminal() -> ProgressLine | None:
    """Return where to draw progress: stderr, if a person sees it."""
    return ProgressLine(logs.LogOutput(sys.stderr)) if logs.is_terminal() else None
