"""What the lines of a Kimi session share: whose they are, when they were, and how tokens count."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.event import Event, EventKind, UsageScope
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    count,
    recall,
    remember,
    text,
    tool_type,
    total,
    utc,
)

USAGE = ("input_other", "input_cache_read", "input_cache_creation", "output")
"""Names of the counts in Kimi CLI; Kimi Code has the same in camel case."""


class State(msgspec.Struct):
    """What the path and earlier lines said.

    `step` is the step whose call has no usage yet.
    """

    agent: str
    conversation: str
    agent_id: str | None = None
    is_subagent: bool | None = None
    cwd: str | None = None
    model: str | None = None
    step: str | None = None
    tools: dict[str, str] = {}


def begin(file: FileName) -> State:
    """Take the session from the path, the only place that has it.

    Kimi CLI: `sessions/<group>/<session>/wire.jsonl`, and `subagents/<agent>/` in it. Kimi
    Code: `sessions/<group>/<session>/agents/<agent>/wire.jsonl`.
    """
    folders = with_slashes(file.path).split("/")[:-1]
    agent = "kimi-code" if ".kimi-code" in folders or "agents" in folders[-2:-1] else "kimi-cli"
    if len(folders) > 2 and folders[-2] in ("agents", "subagents"):
        return State(
            agent=agent,
            conversation=file.name_conversation(folders[-3], levels=3),
            agent_id=folders[-1],
            is_subagent=folders[-1] != "main",
        )
    session = file.name_conversation(folders[-1], levels=1) if folders else ""
    return State(agent=agent, conversation=session)


def make_event(kind: EventKind, time: object, state: State) -> Event:
    """Return an event with the columns that all lines of the session fill."""
    event_time = utc(time)
    return Event(
        event_kind=kind,
        conversation_id=state.conversation or None,
        agent_id=state.agent_id,
        is_subagent=state.is_subagent,
        event_time=event_time,
        event_time_source="line" if event_time else None,
        agent_name=state.agent,
        cwd=state.cwd,
    )


def set_usage(found: Event, usage: Sequence[object], scope: UsageScope) -> None:
    """Set the tokens from counts in the order of USAGE.

    Input is the sum of what was read with and without the cache, and of what was written to it.
    """
    uncached, read, created, output = map(count, usage)
    found.input_tokens = None if uncached is None else total(uncached, read, created)
    found.cache_read_input_tokens, found.cache_creation_input_tokens, found.output_tokens = (
        read,
        created,
        output,
    )
    found.usage_scope, found.operation_name, found.provider_name = scope, "chat", "moonshot_ai"


def tool_call_event(
    time: object, state: State, call: str | None, name: str | None, arguments: object
) -> Event:
    """Return a tool call, and remember its tool until the result comes."""
    found = make_event("tool_call", time, state)
    found.role, found.operation_name = "assistant", "execute_tool"
    found.tool_call_id, found.tool_name, found.tool_type = call, name, tool_type(name)
    found.tool_arguments = as_json(arguments)
    if call and name:
        remember(state.tools, call, name)
    return found


def tool_result_event(
    time: object, state: State, call: str | None, output: str | None, is_error: object
) -> Event:
    """Return a tool result, with the name of the tool that was called."""
    found = make_event("tool_result", time, state)
    found.role, found.operation_name = "tool", "execute_tool"
    found.tool_call_id, found.tool_name = call, recall(state.tools, call)
    found.tool_type, found.tool_result = tool_type(found.tool_name), output
    if isinstance(is_error, bool):
        found.outcome = "failure" if is_error else "success"
    return found


def content_event(time: object, state: State, content: JsonObject) -> Event:
    """Return a part of the answer: reasoning, text, or something without text."""
    is_thought = content.get("type") == "think"
    is_message = content.get("type") == "text"
    found = make_event(
        "reasoning" if is_thought else "model_message" if is_message else "state", time, state
    )
    found.role, found.model = "assistant", state.model
    found.text = text(content.get("think")) or text(content.get("text"))
    return found
