"""Sessions of GitHub Copilot (CLI, app, agent host): `events.jsonl`, typed events in an envelope.

Source: github/copilot-sdk, the generated session-events.ts. A message only has its output tokens.
All other tokens come with `session.shutdown`, for each model, and are missing if the session
crashed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from tracesidecar.dialects.copilot import tools
from tracesidecar.dialects.copilot.bookkeeping import BOOKKEEPING
from tracesidecar.dialects.copilot.line import Line, State, make_event, set_error
from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, UsageScope
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    fields,
    items,
    milliseconds_between,
    plain_text,
    real,
    text,
    utc,
)

_PATH = re.compile(r"/\.copilot/(?:history-)?session-state/.*\.jsonl$")

_decode = msgspec.json.Decoder(Line).decode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the folder of sessions, and the envelope with a known type."""
    if _PATH.search(with_slashes(path)):
        return True
    kind = text(line.get("type"))
    return (
        isinstance(line.get("data"), dict)
        and "timestamp" in line
        and (kind in _MAPPERS or kind in BOOKKEEPING)
    )


def begin(file: FileName) -> State:
    """Take the session from the folder of `events.jsonl`."""
    folders, _, name = with_slashes(file.path).rpartition("/")
    return State(
        conversation=file.name_conversation(folders.rpartition("/")[2], levels=1)
        if name.startswith("events.jsonl") and folders
        else file.conversation
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map an event of the session to its canonical events."""
    line = _decode(data)
    kind = text(line.type) or ""
    if (mapper := _MAPPERS.get(kind)) is not None:
        return mapper(line, fields(line.data), state)
    if kind in BOOKKEEPING:
        event = make_event("state", line, state)
        event.text = plain_text(at(line.data, "content")) or text(at(line.data, "message"))
        return [event]
    raise UnknownType(kind, make_event("unknown", line, state))


def _set_place(data: JsonObject, state: State) -> None:
    """Take over where the session works, from `session.start` and others."""
    state.cwd = text(data.get("cwd")) or state.cwd
    state.branch = text(data.get("branch")) or state.branch
    state.repository = text(data.get("repository")) or state.repository


def _start(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    is_resumed = line.type == "session.resume"
    state.conversation = text(data.get("sessionId")) or state.conversation
    state.version = text(data.get("copilotVersion")) or state.version
    state.model = text(data.get("selectedModel")) or (state.model if is_resumed else None)
    _set_place(fields(data.get("context")), state)
    event = make_event("state" if is_resumed else "session_start", line, state)
    event.model = state.model
    return [event]


def _model_change(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    state.model = text(data.get("newModel")) or state.model
    event = make_event("state", line, state)
    event.model = state.model
    return [event]


def _context_changed(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    _set_place(data, state)
    return [make_event("state", line, state)]


def _user_message(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    event = make_event("user_message", line, state)
    event.role, event.text = "user", plain_text(data.get("content"))
    return [event]


def _assistant_message(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    output = count(data.get("outputTokens"))
    event = make_event("model_message" if output is None else "model_call", line, state)
    event.role, event.text, event.operation_name = (
        "assistant",
        plain_text(data.get("content")),
        "chat",
    )
    event.model = text(data.get("model")) or state.model
    event.api_call_id = call_key(
        state.conversation, text(data.get("apiCallId")) or text(data.get("messageId"))
    )
    if output is not None:
        event.output_tokens, event.usage_scope = output, "partial"
    found = [event]
    if reasoning := text(data.get("reasoningText")):
        found.append(_reasoning_event(line, reasoning, event.model, state))
    return [
        *found,
        *(
            tools.request(line, request, state)
            for request in map(fields, items(data.get("toolRequests")))
        ),
    ]


def _reasoning(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    return [_reasoning_event(line, text(data.get("content")), state.model, state)]


def _reasoning_event(line: Line, reasoning: str | None, model: str | None, state: State) -> Event:
    event = make_event("reasoning", line, state)
    event.role, event.text, event.model = "assistant", reasoning, model
    return event


def _usage(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    """Map `assistant.usage`, which has the whole call; Copilot itself never writes it."""
    event = make_event("model_call", line, state)
    event.operation_name, event.model = "chat", text(data.get("model")) or state.model
    event.api_call_id = call_key(
        state.conversation, text(data.get("apiCallId")) or text(data.get("providerCallId"))
    )
    event.duration_ms = real(data.get("duration"))
    _set_tokens(event, data, "call")
    return [event]


def _set_tokens(event: Event, usage: JsonObject, scope: UsageScope) -> None:
    """Set the tokens.

    Input includes what was read from and written to a cache. Output includes reasoning, except
    for Gemini, where it is counted apart.
    """
    event.input_tokens = count(usage.get("inputTokens"))
    event.cache_read_input_tokens = count(usage.get("cacheReadTokens"))
    event.cache_creation_input_tokens = count(usage.get("cacheWriteTokens"))
    event.reasoning_output_tokens = count(usage.get("reasoningTokens"))
    event.output_tokens = count(usage.get("outputTokens"))
    if (
        event.output_tokens is not None
        and event.model is not None
        and event.model.startswith("gemini-")
    ):
        event.output_tokens += event.reasoning_output_tokens or 0
    event.usage_scope = scope


def _shutdown(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    """Map the end of a session, with the totals of each model since the process began."""
    end = make_event("session_end", line, state)
    end.duration_ms = milliseconds_between(utc(data.get("sessionStartTime")), end.event_time)
    if shutdown := text(data.get("shutdownType")):
        end.outcome = "failure" if shutdown == "error" else "success"
        end.error_message = text(data.get("errorReason"))
    found = [end]
    for model, metrics in fields(data.get("modelMetrics")).items():
        event = make_event("usage_summary", line, state)
        event.model = text(model)
        _set_tokens(event, fields(fields(metrics).get("usage")), "session_total")
        found.append(event)
    return found


def _compaction(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    """Map a compaction; `session.shutdown` counts its call too."""
    event = make_event("compaction", line, state)
    event.text = text(data.get("summaryContent"))
    if isinstance(success := data.get("success"), bool):
        event.outcome = "success" if success else "failure"
    set_error(event, data.get("error"))
    if used := fields(data.get("compactionTokensUsed")):
        event.model, event.duration_ms = (
            text(used.get("model")) or state.model,
            real(used.get("duration")),
        )
        _set_tokens(event, used, "partial")
    return [event]


def _error(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    event = make_event("error", line, state)
    event.outcome, event.model = "failure", text(data.get("model")) or state.model
    event.error_type = (
        text(data.get("errorType"))
        or text(data.get("errorCode"))
        or as_json(data.get("statusCode"))
    )
    event.error_message = text(data.get("message")) or text(data.get("errorMessage"))
    return [event]


_MAPPERS: dict[str, Callable[[Line, JsonObject, State], Sequence[Event]]] = {
    "session.start": _start,
    "session.resume": _start,
    "session.model_change": _model_change,
    "session.context_changed": _context_changed,
    "session.shutdown": _shutdown,
    "session.compaction_complete": _compaction,
    "session.error": _error,
    "model.call_failure": _error,
    "user.message": _user_message,
    "assistant.message": _assistant_message,
    "assistant.reasoning": _reasoning,
    "assistant.usage": _usage,
    "tool.execution_start": tools.start,
    "tool.execution_complete": tools.complete,
    "subagent.started": tools.subagent,
    "subagent.completed": tools.subagent,
    "subagent.failed": tools.subagent,
    "permission.requested": tools.permission,
    "permission.completed": tools.permission,
}

DIALECT: Dialect[State] = Dialect(
    name="copilot",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
    is_revised=True,
    bulky=(
        ("data", "encryptedContent"),
        ("data", "reasoningOpaque"),
        ("data", "promptCacheBreakState"),
    ),
)
