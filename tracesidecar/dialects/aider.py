"""aider's analytics log (`--analytics-log`): tokens and cost of each call, but no text.

One file has all runs of a user.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.parsing import JsonObject, as_json, count, fields, real, text, utc


class Line(msgspec.Struct):
    """One event of a run; `time` is in seconds since the epoch."""

    event: str
    properties: object = None
    user_id: object = None
    time: object = None


class State(msgspec.Struct):
    """The current run: only its first line says that a run began."""

    launches: int = 0
    launched_at: int | None = None


_KINDS: dict[str, EventKind] = {
    "launched": "session_start",
    "exit": "session_end",
    "message_send": "model_call",
    "message_send_exception": "error",
    "exception": "error",
    "message_send_starting": "state",
    "cli session": "state",
    "gui session": "state",
    "copy-paste mode": "state",
    "ai-comments file-add": "state",
    "ai-comments execute": "state",
    "repo": "state",
    "no-repo": "state",
    "auto_commits": "state",
    "model warning": "state",
}
_COMMAND = "command_"
_decode = msgspec.json.Decoder(Line).decode


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise a line that has the four members of the log, and nothing else."""
    return line.keys() == {"event", "properties", "user_id", "time"} and isinstance(
        line["properties"], dict
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line to one event.

    A conversation is a run. Its id is the user, the time of the launch, and the number of the
    launch, because two runs may begin in one second.
    """
    line = _decode(data)
    if line.event == "launched":
        state.launches += 1
        state.launched_at = count(line.time)
    kind = "state" if line.event.startswith(_COMMAND) else _KINDS.get(line.event)
    event = Event(
        event_kind=kind or "unknown",
        operation_name=line.event,
        agent_name="aider",
        user_id=text(line.user_id),
    )
    event.conversation_id = f"{event.user_id or 'aider'}:{state.launched_at or 0}:{state.launches}"
    event.event_time = utc(line.time)
    event.event_time_source = "line" if event.event_time is not None else None
    if kind is None:
        raise UnknownType(line.event, event)
    _set_properties(event, fields(line.properties))
    return (event,)


def _set_properties(event: Event, properties: JsonObject) -> None:
    model = text(properties.get("main_model"))
    if model not in (None, "None"):
        event.model = model
        event.provider_name = model.partition("/")[0] if "/" in model else None
    if event.event_kind == "model_call":
        event.operation_name = "chat"
        event.input_tokens, event.output_tokens = (
            count(properties.get("prompt_tokens")),
            count(properties.get("completion_tokens")),
        )
        event.usage_scope = "call"
        event.cost_usd = real(properties.get("cost"))
        event.cost_source = "recorded" if event.cost_usd is not None else None
    elif event.event_kind == "session_end":
        event.finish_reason = text(properties.get("reason"))
    elif event.event_kind == "error":
        event.outcome, event.error_message = "failure", as_json(properties.get("exception"))


DIALECT: Dialect[State] = Dialect(
    name="aider", recognise=recognise, state=State, begin=lambda _path: State(), map_line=map_line
)
