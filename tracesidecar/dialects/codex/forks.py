"""Which lines of a forked rollout are a copy of its parent's history: their messages and tokens are
the parent's and count there.
"""

from __future__ import annotations

import re
from datetime import datetime

from tracesidecar.dialects.codex.line import Payload, Replay
from tracesidecar.dialects.parsing.numbers import count
from tracesidecar.dialects.parsing.times import milliseconds_between, utc

BURST_MS = 1000
"""A copy is written without such a pause; a model takes longer to answer."""

_UUID7 = re.compile(
    r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)


def begin_child(session: str | None, meta: Payload, time: str | None) -> Replay:
    """What to watch for behind the `session_meta` of a rollout that has a parent; `time` is of that
    line.
    """
    started = utc(meta.timestamp) or time
    own_ms = uuid7_ms(session)
    if own_ms is None and started is not None:
        own_ms = int(datetime.fromisoformat(started).timestamp() * 1000)
    return Replay(
        "child", started, own_ms, count(meta.subagent_history_start_ordinal), time or started
    )


def is_copy(
    replay: Replay, time: str | None, turn: str | None, ordinal: int | None, *, is_usage: bool
) -> bool:
    """Tell whether a line is the parent's; the first that is the child's own ends the question for
    the file.

    What is known for sure is asked first: the ordinal at which the child begins, then when a turn
    began (its id says so), then a time before the child was. Some versions write all copied lines
    with the time of the fork: then the copy is what was written in one go. As long as nothing but
    that speaks for a copy, only usage is held for one: some subagents begin with an empty history.
    """
    if replay.phase == "own":
        return False
    if replay.first_ordinal is not None and ordinal is not None:
        return ordinal < replay.first_ordinal or _ended(replay)
    turn_ms = uuid7_ms(turn)
    if turn_ms is not None and replay.own_ms is not None:
        if turn_ms >= replay.own_ms:
            return _ended(replay)
        replay.phase, replay.has_turns = "copied", True
        return True
    if time is not None and replay.started is not None and time < replay.started:
        replay.keeps_times = True
        return True
    if replay.has_turns:
        return True
    if replay.keeps_times or not _is_in_burst(replay, time):
        return _ended(replay)
    return is_usage or replay.phase == "copied"


def uuid7_ms(value: str | None) -> int | None:
    """Milliseconds since the epoch that a UUID of version 7 begins with (RFC 9562, section 5.7)."""
    found = _UUID7.fullmatch(value) if value is not None else None
    return int(found[1] + found[2], 16) if found is not None else None


def _ended(replay: Replay) -> bool:
    replay.phase = "own"
    return False


def _is_in_burst(replay: Replay, time: str | None) -> bool:
    gap = milliseconds_between(replay.burst, time)
    if gap is None:
        return True
    replay.burst = time
    return gap < BURST_MS
