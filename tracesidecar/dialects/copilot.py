"""Sessions of GitHub Copilot (CLI, app, agent host): `events.jsonl`, typed events in an envelope.

Source: github/copilot-sdk, the generated session-events.ts. Per message only the output tokens are on disk; all others come with
`session.shutdown`, per model, and not at all where the session crashed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from tracesidecar.dialects.content import plain_text
from tracesidecar.dialects.copilot_types import BOOKKEEPING
from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind, UsageScope
from tracesidecar.dialects.joins import call_key, remember
from tracesidecar.dialects.numbers import count, real
from tracesidecar.dialects.state import stem
from tracesidecar.dialects.times import milliseconds_between, utc
from tracesidecar.dialects.tools import tool_type
from tracesidecar.dialects.values import as_json, at, fields, items, text

_PATH = re.compile(r"/\.copilot/(?:history-)?session-state/.*\.jsonl$")


class Line(msgspec.Struct, rename="camel"):
    """The envelope; what `data` has depends on the type."""

    type: object = None
    id: object = None
    parent_id: object = None
    timestamp: object = None
    agent_id: object = None
    data: object = None


class State(msgspec.Struct):
    """What earlier lines said; name, MCP server and beginning of tool calls are kept until their result comes."""

    conversation: str
    model: str | None = None
    cwd: str | None = None
    branch: str | None = None
    repository: str | None = None
    version: str | None = None
    tools: dict[str, str] = {}
    servers: dict[str, str] = {}
    started: dict[str, str] = {}


Data = Mapping[str, object]
_decode = msgspec.json.Decoder(Line).decode


def _recognise(path: str, line: Mapping[str, object]) -> bool:
    if _PATH.search(path.replace("\\", "/")):
        return True
    kind = text(line.get("type"))
    return isinstance(line.get("data"), dict) and "timestamp" in line and (kind in _MAPPERS or kind in BOOKKEEPING)


def _begin(path: str) -> State:
    """The session is the folder of `events.jsonl`."""
    folders, _, name = path.replace("\\", "/").rpartition("/")
    return State(conversation=folders.rpartition("/")[2] if name.startswith("events.jsonl") and folders else stem(path))


def _events(line: bytes, state: State) -> Sequence[Event]:
    record = _decode(line)
    kind = text(record.type) or ""
    if (mapper := _MAPPERS.get(kind)) is not None:
        return mapper(record, fields(record.data), state)
    if kind in BOOKKEEPING:
        event = _event("state", record, state)
        event.text = plain_text(at(record.data, "content")) or text(at(record.data, "message"))
        return [event]
    raise UnknownType(kind, _event("unknown", record, state))


def _event(kind: EventKind, line: Line, state: State) -> Event:
    event_time = utc(line.timestamp)
    agent = text(line.agent_id)
    return Event(
        event_kind=kind,
        native_id=text(line.id),
        parent_id=text(line.parent_id),
        conversation_id=state.conversation,
        agent_id=agent,
        is_subagent=True if agent else None,
        event_time=event_time,
        event_time_source="line" if event_time else None,
        agent_name="copilot",
        agent_version=state.version,
        cwd=state.cwd,
        git_branch=state.branch,
        git_repository=state.repository,
    )


def _set_place(data: Data, state: State) -> None:
    """Where the session works, as `session.start` and others say it."""
    state.cwd = text(data.get("cwd")) or state.cwd
    state.branch = text(data.get("branch")) or state.branch
    state.repository = text(data.get("repository")) or state.repository


def _start(line: Line, data: Data, state: State) -> Sequence[Event]:
    is_resumed = line.type == "session.resume"
    state.conversation = text(data.get("sessionId")) or state.conversation
    state.version = text(data.get("copilotVersion")) or state.version
    state.model = text(data.get("selectedModel")) or (state.model if is_resumed else None)
    _set_place(fields(data.get("context")), state)
    event = _event("state" if is_resumed else "session_start", line, state)
    event.model = state.model
    return [event]


def _model_change(line: Line, data: Data, state: State) -> Sequence[Event]:
    state.model = text(data.get("newModel")) or state.model
    event = _event("state", line, state)
    event.model = state.model
    return [event]


def _context_changed(line: Line, data: Data, state: State) -> Sequence[Event]:
    _set_place(data, state)
    return [_event("state", line, state)]


def _user_message(line: Line, data: Data, state: State) -> Sequence[Event]:
    event = _event("user_message", line, state)
    event.role, event.text = "user", plain_text(data.get("content"))
    return [event]


def _assistant_message(line: Line, data: Data, state: State) -> Sequence[Event]:
    output = count(data.get("outputTokens"))
    event = _event("model_message" if output is None else "model_call", line, state)
    event.role, event.text, event.operation_name = "assistant", plain_text(data.get("content")), "chat"
    event.model = text(data.get("model")) or state.model
    event.api_call_id = call_key(state.conversation, text(data.get("apiCallId")) or text(data.get("messageId")))
    if output is not None:
        event.output_tokens, event.usage_scope = output, "partial"
    found = [event]
    if reasoning := text(data.get("reasoningText")):
        found.append(_reasoning_event(line, reasoning, event.model, state))
    return [*found, *(_tool_request(line, request, state) for request in map(fields, items(data.get("toolRequests"))))]


def _reasoning(line: Line, data: Data, state: State) -> Sequence[Event]:
    return [_reasoning_event(line, text(data.get("content")), state.model, state)]


def _reasoning_event(line: Line, reasoning: str | None, model: str | None, state: State) -> Event:
    event = _event("reasoning", line, state)
    event.role, event.text, event.model = "assistant", reasoning, model
    return event


def _usage(line: Line, data: Data, state: State) -> Sequence[Event]:
    """`assistant.usage` is never on disk by itself; who records it all the same has the whole call."""
    event = _event("model_call", line, state)
    event.operation_name, event.model = "chat", text(data.get("model")) or state.model
    event.api_call_id = call_key(state.conversation, text(data.get("apiCallId")) or text(data.get("providerCallId")))
    event.duration_ms = real(data.get("duration"))
    _set_tokens(event, data, "call")
    return [event]


def _set_tokens(event: Event, usage: Data, scope: UsageScope) -> None:
    """Input includes what was read from and written to a cache; output includes reasoning, but for Gemini, which counts thoughts apart."""
    event.input_tokens = count(usage.get("inputTokens"))
    event.cache_read_input_tokens = count(usage.get("cacheReadTokens"))
    event.cache_creation_input_tokens = count(usage.get("cacheWriteTokens"))
    event.reasoning_output_tokens = count(usage.get("reasoningTokens"))
    event.output_tokens = count(usage.get("outputTokens"))
    if event.output_tokens is not None and event.model is not None and event.model.startswith("gemini-"):
        event.output_tokens += event.reasoning_output_tokens or 0
    event.usage_scope = scope


def _shutdown(line: Line, data: Data, state: State) -> Sequence[Event]:
    """The end, and the totals of each model since the process began."""
    end = _event("session_end", line, state)
    end.duration_ms = milliseconds_between(utc(data.get("sessionStartTime")), end.event_time)
    if shutdown := text(data.get("shutdownType")):
        end.outcome = "failure" if shutdown == "error" else "success"
        end.error_message = text(data.get("errorReason"))
    found = [end]
    for model, metrics in fields(data.get("modelMetrics")).items():
        event = _event("usage_summary", line, state)
        event.model = text(model)
        _set_tokens(event, fields(fields(metrics).get("usage")), "session_total")
        found.append(event)
    return found


def _tool_request(line: Line, request: Data, state: State) -> Event:
    event = _event("tool_call", line, state)
    event.role, event.operation_name = "assistant", "execute_tool"
    _set_tool(event, request, state)
    event.tool_arguments = as_json(request.get("arguments"))
    return event


def _set_tool(event: Event, data: Data, state: State) -> None:
    call = text(data.get("toolCallId"))
    name = text(data.get("toolName")) or text(data.get("name")) or state.tools.get(call or "")
    event.tool_call_id, event.tool_name = call, name
    server = text(data.get("mcpServerName")) or state.servers.get(call or "")
    event.tool_type = "mcp" if server else tool_type(name)
    if call is not None and name is not None:
        remember(state.tools, call, name)
    if call is not None and server is not None:
        remember(state.servers, call, server)


def _tool_start(line: Line, data: Data, state: State) -> Sequence[Event]:
    """A call that a message asked for is counted there; it only begins here."""
    is_asked = (text(data.get("toolCallId")) or "") in state.tools
    event = _event("state", line, state) if is_asked else _tool_request(line, data, state)
    if is_asked:
        _set_tool(event, data, state)
    if event.tool_call_id is not None and event.event_time is not None:
        remember(state.started, event.tool_call_id, event.event_time)
    return [event]


def _tool_complete(line: Line, data: Data, state: State) -> Sequence[Event]:
    event = _event("tool_result", line, state)
    event.role, event.operation_name = "tool", "execute_tool"
    _set_tool(event, data, state)
    event.model = text(data.get("model"))
    event.duration_ms = milliseconds_between(state.started.pop(event.tool_call_id or "", None), event.event_time)
    result = data.get("result")
    event.tool_result = text(at(result, "content")) or text(at(result, "detailedContent")) or as_json(result)
    if isinstance(success := data.get("success"), bool):
        event.outcome = "success" if success else "failure"
    _set_error(event, data.get("error"))
    return [event]


def _set_error(event: Event, error: object) -> None:
    event.error_type = text(at(error, "code"))
    event.error_message = text(error) or text(at(error, "message"))


def _subagent(line: Line, data: Data, state: State) -> Sequence[Event]:
    event = _event("agent_run", line, state)
    event.operation_name, event.is_subagent = "invoke_agent", True
    event.tool_call_id = text(data.get("toolCallId"))
    event.agent_id = event.agent_id or event.tool_call_id
    event.text = text(data.get("agentDisplayName")) or text(data.get("agentName"))
    event.model, event.duration_ms = text(data.get("model")), real(data.get("durationMs"))
    if line.type != "subagent.started":
        event.outcome = "success" if line.type == "subagent.completed" else "failure"
    _set_error(event, data.get("error"))
    return [event]


def _compaction(line: Line, data: Data, state: State) -> Sequence[Event]:
    """Its own call is part of what `session.shutdown` counts."""
    event = _event("compaction", line, state)
    event.text = text(data.get("summaryContent"))
    if isinstance(success := data.get("success"), bool):
        event.outcome = "success" if success else "failure"
    _set_error(event, data.get("error"))
    if used := fields(data.get("compactionTokensUsed")):
        event.model, event.duration_ms = text(used.get("model")) or state.model, real(used.get("duration"))
        _set_tokens(event, used, "partial")
    return [event]


def _error(line: Line, data: Data, state: State) -> Sequence[Event]:
    event = _event("error", line, state)
    event.outcome, event.model = "failure", text(data.get("model")) or state.model
    event.error_type = text(data.get("errorType")) or text(data.get("errorCode")) or as_json(data.get("statusCode"))
    event.error_message = text(data.get("message")) or text(data.get("errorMessage"))
    return [event]


def _permission(line: Line, data: Data, state: State) -> Sequence[Event]:
    event = _event("permission", line, state)
    request = fields(data.get("permissionRequest"))
    event.tool_call_id = text(request.get("toolCallId")) or text(data.get("toolCallId"))
    event.tool_name = text(request.get("toolName")) or state.tools.get(event.tool_call_id or "")
    event.tool_type = tool_type(event.tool_name)
    event.text = text(request.get("intention")) or text(request.get("kind"))
    if decision := text(at(data, "result", "kind")):
        event.outcome = "success" if decision.startswith("approved") else "failure"
        event.error_type = None if event.outcome == "success" else decision
    return [event]


_MAPPERS: dict[str, Callable[[Line, Data, State], Sequence[Event]]] = {
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
    "tool.execution_start": _tool_start,
    "tool.execution_complete": _tool_complete,
    "subagent.started": _subagent,
    "subagent.completed": _subagent,
    "subagent.failed": _subagent,
    "permission.requested": _permission,
    "permission.completed": _permission,
}

DIALECT: Dialect[State] = Dialect(
    name="copilot",
    recognise=_recognise,
    state=State,
    begin=_begin,
    events=_events,
    bulky=(("data", "encryptedContent"), ("data", "reasoningOpaque"), ("data", "promptCacheBreakState")),
    include=("~/.copilot/session-state/*/events.jsonl", "~/.copilot/history-session-state/*/events.jsonl"),
)
