"""Which lines of a forked rollout are a copy of its parent's history.

Their messages and tokens are the parent's, and count there.
"""

from __future__ import annotations

import re
from datetime import datetime

from tracesidecar.dialects.codex.line import ForkState, RolloutPayload
from tracesidecar.dialects.parsing import count, milliseconds_between, utc

BURST_MS = 1000
"""A copy is written without a pause of this length; a model takes longer to answer."""

_UUID7 = re.compile(
    r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)


def begin_fork(session: str | None, meta: RolloutPayload, time: str | None) -> ForkState:
    """Return the state behind the `session_meta` of a rollout that has a parent.

    `time` is of that line.
    """
    started = utc(meta.timestamp) or time
    own_ms = uuid7_ms(session)
    if own_ms is None and started is not None:
        own_ms = int(datetime.fromisoformat(started).timestamp() * 1000)
    return ForkState(
        "child", started, own_ms, count(meta.subagent_history_start_ordinal), time or started
    )


def is_copy(
    fork: ForkState, time: str | None, turn: str | None, ordinal: int | None, *, is_usage: bool
) -> bool:
    """Return whether a line is the parent's; after the first line of its own none is.

    What is certain is checked first: the ordinal at which the child begins, then when a turn
    began (its id says so), then a time before the child's. Some versions write all copied lines
    with the time of the fork: then the copy is what was written in one burst. If only the burst
    suggests a copy, only usage counts as copied, because some subagents begin with an empty
    history.
    """
    if fork.phase == "own":
        return False
    if fork.first_ordinal is not None and ordinal is not None:
        return ordinal < fork.first_ordinal or _end_copy(fork)
    turn_ms = uuid7_ms(turn)
    if turn_ms is not None and fork.own_ms is not None:
        if turn_ms >= fork.own_ms:
            return _end_copy(fork)
        fork.phase, fork.has_turns = "copied", True
        return True
    if time is not None and fork.started is not None and time < fork.started:
        fork.keeps_times = True
        return True
    if fork.has_turns:
        return True
    if fork.keeps_times or not _is_in_burst(fork, time):
        return _end_copy(fork)
    return is_usage or fork.phase == "copied"


def uuid7_ms(value: str | None) -> int | None:
    """Return the milliseconds since the epoch of a UUID version 7 (RFC 9562, section 5.7)."""
    found = _UUID7.fullmatch(value) if value is not None else None
    return int(found[1] + found[2], 16) if found is not None else None


def _end_copy(fork: ForkState) -> bool:
    fork.phase = "own"
    return False


def _is_in_burst(fork: ForkState, time: str | None) -> bool:
    gap = milliseconds_between(fork.burst, time)
    if gap is None:
        return True
    fork.burst = time
    return gap < BURST_MS
