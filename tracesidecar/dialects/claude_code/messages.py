"""What a message of a Claude Code transcript becomes: call, reasoning, tool calls and results."""

from __future__ import annotations

import re

from tracesidecar.dialects import prices
from tracesidecar.dialects.claude_code.line import Line, State
from tracesidecar.dialects.dialect import EventFactory
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    exit_code_in,
    fields,
    items,
    real,
    recall,
    remember,
    text,
    tool_type,
    total,
)

_INPUTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_REMEMBERED_CALLS = 16
_LONG_ID = re.compile(r"[0-9A-Za-z_-]{12,}")
"""What is no number that begins at 1 again."""
SYNTHETIC = "<synthetic>"
"""The model of messages that the program writes itself: there was no call."""
_SAID_BY_PROGRAM = (
    "<bash-stderr>",
    "<bash-stdout>",
    "<local-command-caveat>",
    "<local-command-stderr>",
    "<local-command-stdout>",
    "<system-reminder>",
    "<task-notification>",
    "[Request interrupted by user",
)


def map_assistant(line: Line, state: State, make: EventFactory) -> list[Event]:
    """Map an answer: first the call, whose usage each of its lines repeats, then its blocks."""
    message = fields(line.message)
    model, finish_reason = text(message.get("model")), text(message.get("stop_reason"))
    message_id, request_id = text(message.get("id")), text(line.request_id)
    blocks = _blocks(message.get("content"))
    parts = [part for block in blocks if (part := _part(block, line, state, make)) is not None]
    event = make("model_message")
    event.role, event.text = "assistant", _join_text(blocks)
    event.finish_reason = finish_reason
    if line.is_api_error_message is True:
        event.event_kind, event.outcome = "error", "failure"
        event.error_type, event.error_message = text(line.error) or "api_error", event.text
    elif model != SYNTHETIC:
        event.model, event.provider_name = model, _provider(model)
        event.api_call_id = _name_call(message_id, request_id, event, state)
        event.request_id = request_id
        set_usage(event, message.get("usage"), line.cost_usd)
        parts += _other_calls(event, message.get("usage"), make)
    for part in parts:
        part.api_call_id = part.api_call_id or event.api_call_id
        if part.event_kind == "reasoning":
            part.model, part.provider_name = event.model, event.provider_name
    if event.event_kind == "model_message" and event.text is None and parts:
        return parts
    return [event, *parts]


def map_user(line: Line, state: State, make: EventFactory) -> list[Event]:
    """Map a message in the user's role: tool results, or what the user said.

    What the program says in the user's name is bookkeeping.
    """
    content = line.message if isinstance(line.message, str) else fields(line.message).get("content")
    blocks = _blocks(content)
    found = [part for block in blocks if (part := _part(block, line, state, make)) is not None]
    if (run := _agent_run(line, make)) is not None:
        run.parent_tool_call_id = next((part.tool_call_id for part in found), None)
        found.append(run)
    said = _join_text(blocks)
    if found and said is None:
        return found
    is_said_by_user = (
        line.is_meta is not True
        and line.is_compact_summary is not True
        and not (said or "").startswith(_SAID_BY_PROGRAM)
    )
    event = make("user_message" if is_said_by_user else "state")
    event.role, event.text = "user", said
    return [event, *found]


def plain_text(content: object) -> str | None:
    """Return the text of a message, without pictures and documents."""
    return _join_text(_blocks(content))


def _blocks(content: object) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return []
    return [
        block
        if isinstance(block, dict)
        else {"type": "text", "text": block}
        if isinstance(block, str)
        else {}
        for block in content
    ]


def _join_text(blocks: list[JsonObject]) -> str | None:
    return (
        "\n".join(
            said
            for block in blocks
            if block.get("type") == "text" and isinstance(said := block.get("text"), str) and said
        )
        or None
    )


def _provider(model: str | None) -> str | None:
    """Return the provider: other programs put models of other vendors into the same shape."""
    return "anthropic" if model is not None and "claude" in model else None


def _name_call(message: str | None, request: str | None, event: Event, state: State) -> str | None:
    """Return the key of the call that a message is of: what all of its lines share, and no other.

    A resumed or forked session repeats the message's id; that of the request may then be new, or
    missing. Only the provider's own ids are unique. The one that a gateway makes is known by its
    request, else by the line that was the first to have it, which a fork repeats, too.
    """
    named = message or request
    if named is None or call_key(event.conversation_id, named) == named:
        return named or call_key(event.conversation_id, event.native_id)
    line_of = f"{event.conversation_id}\0{named}"
    if (known := recall(state.calls, line_of)) is not None:
        return known
    own = call_key(event.conversation_id, event.native_id)
    if message is not None and request is not None and _LONG_ID.search(request):
        key = f"{message}:{request}"
    elif own is not None and own == event.native_id:
        key = f"{named}:{own}"
    else:
        key = f"{event.conversation_id}:{named}"
    while len(state.calls) >= _REMEMBERED_CALLS:
        del state.calls[next(iter(state.calls))]
    remember(state.calls, line_of, key)
    return key


def _list_nested(usage: object) -> list[JsonObject]:
    """Return the objects in a usage, by themselves or in a list, that have tokens of their own."""
    values = usage.values() if isinstance(usage, dict) else ()
    return [
        entry
        for value in values
        for entry in (value if isinstance(value, list) else (value,))
        if isinstance(entry, dict) and ("input_tokens" in entry or "output_tokens" in entry)
    ]


def _other_calls(call: Event, usage: object, make: EventFactory) -> list[Event]:
    """Return the calls beside the one whose usage the message has.

    The message's own is at the top. What an advisor used, a compaction, or the model that it fell
    back to, is only in a list beside it. What adds up to the figures at the top is a part of these.
    """
    entries = [
        entry
        for entry in _list_nested(usage)
        if count(entry.get("input_tokens")) or count(entry.get("output_tokens"))
    ]
    others = [
        entry
        for entry in entries
        if entry.get("type", "message") != "message"
        or (text(entry.get("model")) or call.model) != call.model
    ]
    if not others or _add_up(entries) == (call.input_tokens, call.output_tokens):
        return []
    found = []
    numbers: dict[str, int] = {}
    for entry in others:
        kind = text(entry.get("type")) or "message"
        number = numbers[kind] = numbers.get(kind, -1) + 1
        other = make("model_call")
        other.role = "assistant"
        other.model = text(entry.get("model")) or call.model
        other.provider_name = _provider(other.model)
        if call.api_call_id is not None:
            other.api_call_id = f"{call.api_call_id}:{kind}:{number}"
        set_usage(other, {**entry, "service_tier": call.service_tier}, None)
        found.append(other)
    return found


def _add_up(entries: list[JsonObject]) -> tuple[int | None, int | None]:
    return (
        total(*(count(entry.get(name)) for name in _INPUTS for entry in entries)),
        total(*(count(entry.get("output_tokens")) for entry in entries)),
    )


def set_usage(event: Event, usage: object, recorded: object) -> None:
    """Set the usage of a call, as the API reports it; `recorded` is its cost, if a line has it."""
    if not isinstance(usage, dict):
        return
    thinking = at(usage, "output_tokens_details", "thinking_tokens")
    for_an_hour = at(usage, "cache_creation", "ephemeral_1h_input_tokens")
    plain, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    read, written = (
        count(usage.get("cache_read_input_tokens")),
        count(usage.get("cache_creation_input_tokens")),
    )
    event.event_kind, event.operation_name, event.usage_scope = "model_call", "chat", "call"
    event.input_tokens = total(plain, read, written)
    event.cache_read_input_tokens, event.cache_creation_input_tokens, event.output_tokens = (
        read,
        written,
        output,
    )
    event.reasoning_output_tokens = count(thinking)
    event.service_tier = text(usage.get("service_tier"))
    event.web_search_requests = count(at(usage, "server_tool_use", "web_search_requests"))
    written_1h = min(count(for_an_hour) or 0, written or 0)
    if (cost := real(recorded)) is not None:
        event.cost_usd, event.cost_source = cost, "recorded"
        return
    is_fast = usage.get("speed") == "fast"
    if not (written_1h or is_fast):
        return  # the columns show everything: the interpreter prices the call
    if event.model is not None and plain is not None and output is not None:
        _price(event, event.model, plain, output, written_1h, is_fast=is_fast)


def _price(
    event: Event, model: str, plain: int, output: int, written_1h: int, *, is_fast: bool
) -> None:
    """Price what the columns do not show: cache writes for one hour, and the fast mode."""
    written = event.cache_creation_input_tokens or 0
    event.cost_usd = prices.call_cost(
        model,
        plain,
        output,
        cache_read=event.cache_read_input_tokens or 0,
        cache_write_5m=written - written_1h,
        cache_write_1h=written_1h,
        at=event.event_time,
        is_fast=is_fast,
        tier=event.service_tier,
        searches=event.web_search_requests or 0,
    )
    if event.cost_usd is not None:
        event.cost_source = prices.cost_source()
    elif is_fast:
        # Otherwise the interpreter would set the standard price, which a fast call never has.
        event.cost_source = "unknown"


def _part(block: JsonObject, line: Line, state: State, make: EventFactory) -> Event | None:
    kind = block.get("type")
    if kind in ("thinking", "redacted_thinking"):
        event = make("reasoning")
        event.role, event.text = "assistant", text(block.get("thinking"))
        return event
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return _tool_call(block, state, make)
    if isinstance(kind, str) and kind.endswith("tool_result"):
        return _tool_result(block, line, state, make)
    return None


def _tool_call(block: JsonObject, state: State, make: EventFactory) -> Event:
    call, name = text(block.get("id")), text(block.get("name"))
    if call is not None and name is not None:
        remember(state.tools, call, name)
    event = make("tool_call")
    event.operation_name, event.role = "execute_tool", "assistant"
    event.tool_call_id, event.tool_name, event.tool_type = call, name, tool_type(name)
    event.tool_arguments = as_json(block.get("input"))
    return event


def _tool_result(block: JsonObject, line: Line, state: State, make: EventFactory) -> Event:
    call = text(block.get("tool_use_id"))
    name = recall(state.tools, call)
    event = make("tool_result")
    event.operation_name, event.role = "execute_tool", "tool"
    event.tool_call_id, event.tool_name, event.tool_type = call, name, tool_type(name)
    event.tool_result = _result_text(block.get("content"))
    result = fields(line.tool_use_result)
    event.duration_ms = real(result.get("durationMs", result.get("totalDurationMs")))
    event.outcome = "success"
    if block.get("is_error") is True or fields(block.get("content")).get("error_code") is not None:
        event.outcome, event.error_message = "failure", event.tool_result
        event.error_type = _error_type(block, event.tool_result or "")
        if event.tool_type == "shell":
            event.exit_code = exit_code_in(event.tool_result)
    elif result.get("interrupted") is True:
        event.outcome, event.error_type = "failure", "interrupted"
    return event


def _error_type(block: JsonObject, said: str) -> str:
    if said.startswith("The user doesn't want to proceed with this tool use"):
        return "permission_denied"
    return text(fields(block.get("content")).get("error_code")) or "tool_error"


def _result_text(content: object) -> str | None:
    """Return text as it is, and a list with pictures without their bytes: the line has them."""
    blocks = [fields(block) for block in items(content)]
    if not blocks:
        return as_json(content) if content != [] else None
    if all(block.get("type") == "text" for block in blocks):
        return _join_text(blocks)
    return as_json([_without_bytes(block) for block in blocks])


def _without_bytes(block: JsonObject) -> JsonObject:
    source = fields(block.get("source"))
    if not isinstance(source.get("data"), str):
        return block
    return {
        "type": block.get("type"),
        "media_type": source.get("media_type"),
        "base64_bytes": len(str(source["data"])),
    }


def _agent_run(line: Line, make: EventFactory) -> Event | None:
    """Return the end of a subagent, which the result of the tool that started it reports."""
    run = fields(line.tool_use_result)
    agent = text(run.get("agentId"))
    if agent is None or run.get("status") is None:
        return None
    event = make("agent_run")
    event.operation_name, event.agent_id, event.is_subagent = "invoke_agent", agent, True
    event.duration_ms = real(run.get("totalDurationMs"))
    event.outcome = "success" if run.get("status") == "completed" else "unknown"
    return event
