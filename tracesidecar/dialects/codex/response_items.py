"""What a `response_item` of a Codex rollout becomes: messages, reasoning, tool calls, outputs."""

from __future__ import annotations

import re

from tracesidecar.dialects.codex.line import RolloutPayload, State
from tracesidecar.dialects.dialect import EventFactory, UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.parsing import (
    as_json,
    exit_code,
    fields,
    items,
    plain_text,
    recall,
    remember,
    text,
    tool_type,
)

_CALLS = {
    "function_call": None,
    "custom_tool_call": None,
    "tool_search_call": "tool_search",
    "local_shell_call": "local_shell",
    "web_search_call": "web_search",
    "image_generation_call": "image_generation",
}
"""Types of calls, and the tool if the type determines it."""
_OUTPUTS = frozenset(
    (
        "function_call_output",
        "custom_tool_call_output",
        "tool_search_output",
        "local_shell_call_output",
    )
)
_BOOKKEEPING = frozenset(
    (
        "additional_tools",
        "agent_message",
        "compaction",
        "compaction_summary",
        "compaction_trigger",
        "context_compaction",
        "ghost_snapshot",
        "other",
    )
)
_SAID_BY_PROGRAM = (
    "# AGENTS.md instructions",
    "<INSTRUCTIONS>",
    "<collaboration_mode>",
    "<environment_context>",
    "<permissions instructions>",
    "<skill>",
    "<subagent_notification>",
    "<turn_aborted>",
    "<user_instructions>",
    "<user_shell_command>",
)
_REJECTED = ("exec command rejected by user", "patch rejected by user", "rejected by user")
_FAILED = (
    "exec_command failed",
    "failed to parse function arguments",
    "unsupported call",
    "apply_patch verification failed",
)
_HEAD = 500
_EXIT = re.compile(r"^(?:Exit code:|Process exited with code) (-?\d{1,10})\r?$", re.MULTILINE)
_WALL_TIME = re.compile(r"^Wall time: (\d{1,9}(?:\.\d{1,9})?) seconds?\r?$", re.MULTILINE)
_METADATA = re.compile(
    r'"metadata":\{"exit_code":(-?\d{1,10}),"duration_seconds":(\d{1,9}(?:\.\d{1,9})?)\}\}\s*\Z'
)


def map_item(payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    """Map an item; raises UnknownType if its type is not known."""
    kind = text(payload.type) or ("message" if payload.role is not None else "")
    if kind == "message":
        return _message(payload, state, make)
    if kind == "reasoning":
        event = make("reasoning")
        event.role, event.model, event.provider_name = "assistant", state.model, state.provider
        event.text = (
            "\n".join(
                said for said in (plain_text(payload.summary), plain_text(payload.content)) if said
            )
            or None
        )
        return event
    if kind in _CALLS:
        return _call(payload, _CALLS[kind] or _function_name(payload), state, make)
    if kind in _OUTPUTS:
        return _tool_output(payload, state, make)
    event = make("state")
    if kind not in _BOOKKEEPING:
        event.event_kind = "unknown"
        raise UnknownType(f"response_item.{kind or 'none'}", event)
    event.text = plain_text(payload.content) or text(payload.message)
    return event


def _message(payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    """Map a message; an `event_msg` repeats it, and a `token_count` has the tokens."""
    said = plain_text(payload.content)
    if payload.role == "assistant":
        event = make("model_message")
        event.role, event.model, event.provider_name = "assistant", state.model, state.provider
    elif payload.role == "user" and not (said or "").lstrip().startswith(_SAID_BY_PROGRAM):
        event = make("user_message")
        event.role = "user"
    else:
        event = make("state")
        event.role = "user" if payload.role == "user" else "system"
    event.text = said
    return event


def _function_name(payload: RolloutPayload) -> str | None:
    name, namespace = text(payload.name), text(payload.namespace)
    return (
        f"{namespace.rstrip('_')}__{name}"
        if name is not None and namespace is not None and namespace.startswith("mcp")
        else name
    )


def _call(payload: RolloutPayload, name: str | None, state: State, make: EventFactory) -> Event:
    call = text(payload.call_id) or text(payload.id)
    if call is not None and name is not None:
        remember(state.tools, call, name)
    event = make("tool_call")
    event.operation_name, event.role = "execute_tool", "assistant"
    event.tool_call_id, event.tool_name, event.tool_type = call, name, tool_type(name)
    given = (payload.arguments, payload.input, payload.action, payload.revised_prompt)
    event.tool_arguments = as_json(next((each for each in given if each is not None), None))
    return event


def _tool_output(payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    call = text(payload.call_id)
    name = recall(state.tools, call)
    event = make("tool_result")
    event.operation_name, event.role = "execute_tool", "tool"
    event.tool_call_id, event.tool_name, event.tool_type = call, name, tool_type(name)
    event.tool_result = _output_text(payload.output)
    _set_outcome(event, fields(payload.output).get("success"))
    return event


def _output_text(output: object) -> str | None:
    """Return the text of an output, which may be in an object or a list of blocks.

    Pictures are only named: their bytes are in the line.
    """
    if isinstance(output, dict):
        inner = next(
            (output[key] for key in ("content", "body") if output.get(key) is not None), None
        )
        return as_json(output) if inner is None else _output_text(inner)
    if not isinstance(output, list):
        return as_json(output)
    kinds = [fields(block).get("type") for block in items(output)]
    if plain_text(output) is None:
        return as_json(kinds)
    return "\n".join(
        [
            plain_text(output) or "",
            *(f"[{kind}]" for kind in kinds if isinstance(kind, str) and "image" in kind),
        ]
    )


def _set_outcome(event: Event, success: object) -> None:
    """Set outcome and duration, which a shell's output only has in its text."""
    said = event.tool_result or ""
    head = said[:_HEAD]
    metadata = _METADATA.search(said, max(0, len(said) - _HEAD))
    code = metadata or _EXIT.search(head)
    seconds = (
        metadata[2]
        if metadata is not None
        else found[1]
        if (found := _WALL_TIME.search(head)) is not None
        else None
    )
    if seconds is not None:
        event.duration_ms = round(float(seconds) * 1000, 3)
    event.exit_code = exit_code(code[1]) if code is not None else None
    if head.startswith("aborted"):
        event.error_type = "interrupted"
    elif head.startswith(_REJECTED):
        event.error_type = "permission_denied"
    elif code is not None and int(code[1]) != 0:
        event.error_type = "exit_code"
    elif success is False or head.startswith(_FAILED):
        event.error_type = "tool_error"
    if event.error_type is not None:
        event.outcome, event.error_message = "failure", event.tool_result
    elif code is not None or success is True:
        event.outcome = "success"
