"""ai-trace: one line for each step of an agent.

Only the name of the file says which agent and session it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.event import Event, Outcome
from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    fields,
    milliseconds_between,
    real,
    text,
    utc,
)
from tracesidecar.dialects.truncate import shorten_id

_KEYS = frozenset(("name", "outcome", "logs"))
_MORE_KEYS = frozenset(("context", "duration_ms", "finished_at"))
"""The README shows a line without start, end and error; at least two of these are in each."""
_SNAPSHOT_KEYS = frozenset(("agent", "session_id", "saved_at", "steps"))
_FILE = re.compile(r"(.{1,200})_\d{8}_\d{6}")
"""`{agent}_{session_id}.jsonl`; the name of the agent may have underscores too."""
_OUTCOMES: dict[str, Outcome] = {"ok": "success", "error": "failure"}
_STEPS = 64
"""How many steps are remembered: they nest, so a step may come again a few lines later."""


class State(msgspec.Struct):
    """The session and agent of the file, and its last steps."""

    conversation: str | None = None
    agent: str | None = None
    steps: list[str] = []


class Line(msgspec.Struct):
    """A step; `started_at` and `duration_ms` are null if it was never started.

    The last members are those of a snapshot: what a session had until it was saved.
    """

    name: object = None
    context: object = None
    started_at: object = None
    finished_at: object = None
    duration_ms: object = None
    outcome: object = None
    error: object = None
    logs: object = None
    agent: object = None
    saved_at: object = None
    meta: object = None
    steps: object = None


_decode = msgspec.json.Decoder(Line).decode


def begin(file: FileName) -> State:
    """Take agent and session from the name of the file."""
    named = _FILE.fullmatch(file.stem)
    return State(file.conversation, named[1]) if named else State()


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise the members of a step that its documentation shows, or those of a snapshot."""
    if line.keys() >= _SNAPSHOT_KEYS:
        return isinstance(line["steps"], list)
    return line.keys() >= _KEYS and len(_MORE_KEYS & line.keys()) > 1


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a step to one event; a step that comes again supersedes its first line."""
    step = _decode(data)
    if step.steps is not None:
        return (_snapshot(step, state),)
    started, finished = utc(step.started_at), utc(step.finished_at)
    took = real(step.duration_ms)
    name = text(step.name)
    identity = None if started is None or name is None else f"{name[:200]}@{step.started_at}"
    return (
        Event(
            event_kind="span",
            native_id=identity,
            conversation_id=state.conversation,
            event_time=started or finished,
            duration_ms=took if took is not None else milliseconds_between(started, finished),
            tool_name=name,
            tool_arguments=as_json(step.context or None),
            tool_result=as_json(step.logs or None),
            outcome=_outcome(step),
            error_type="error" if step.outcome == "error" or step.error is not None else None,
            error_message=text(step.error),
            agent_name=state.agent,
            supersedes=_is_repeated(identity, state) or None,
        ),
    )


def _snapshot(line: Line, state: State) -> Event:
    """Map a snapshot to what it says of the session: its steps are in the lines already."""
    meta = fields(line.meta)
    return Event(
        event_kind="state",
        conversation_id=state.conversation,
        event_time=utc(line.saved_at),
        operation_name="snapshot",
        text=as_json(line.meta or None),
        model=text(meta.get("model")),
        trace_id=text(meta.get("run_id")),
        agent_name=text(line.agent) or state.agent,
        agent_version=text(meta.get("version")),
    )


def _outcome(step: Line) -> Outcome:
    """Return the outcome of a step.

    A step that is failed by hand is finished once more, as "ok", when its block ends. Its error
    stays, and shows the failure.
    """
    if step.outcome == "ok" and step.error is not None:
        return "failure"
    return _OUTCOMES.get(step.outcome, "unknown") if isinstance(step.outcome, str) else "unknown"


def _is_repeated(identity: str | None, state: State) -> bool:
    """Return whether the step had a line before, and remember it."""
    if identity is None:
        return False
    identity = shorten_id(identity)
    if identity in state.steps:
        return True
    state.steps.append(identity)
    del state.steps[:-_STEPS]
    return False


DIALECT: Dialect[State] = Dialect(
    name="ai_trace",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
    is_revised=True,
)
