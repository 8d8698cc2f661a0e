"""A line of a Claude Code transcript, and what is carried from one line to the next."""

from __future__ import annotations

import msgspec


class Line(msgspec.Struct, rename="camel"):
    """The envelope; `message` is what the model's API takes and returns.

    No member is always there.
    """

    type: object = None
    subtype: object = None
    uuid: object = None
    parent_uuid: object = None
    logical_parent_uuid: object = None
    session_id: object = None
    forked_from: object = None
    timestamp: object = None
    cwd: object = None
    git_branch: object = None
    version: object = None
    is_sidechain: object = None
    is_meta: object = None
    is_compact_summary: object = None
    is_api_error_message: object = None
    agent_id: object = None
    request_id: object = None
    message: object = None
    content: object = None
    summary: object = None
    custom_title: object = None
    ai_title: object = None
    last_prompt: object = None
    attachment: object = None
    error: object = None
    duration_ms: object = None
    tool_use_result: object = None
    cost_usd: object = msgspec.field(default=None, name="costUSD")
    stream_session: object = msgspec.field(default=None, name="session_id")
    stream_version: object = msgspec.field(default=None, name="claude_code_version")
    parent_tool_use: object = msgspec.field(default=None, name="parent_tool_use_id")
    model: object = None
    event: object = None
    result: object = None
    errors: object = None
    is_error: object = msgspec.field(default=None, name="is_error")
    usage: object = None
    model_usage: object = None
    total_cost: object = msgspec.field(default=None, name="total_cost_usd")
    whole_duration: object = msgspec.field(default=None, name="duration_ms")


class State(msgspec.Struct):
    """Session and version of the last line that had them, agent and parent from the path.

    `tools` are the tools whose results are still to come, and `calls` the keys of the latest calls
    whose message has an id that may come again elsewhere. `streamed` is the message whose parts
    come as `stream_event`.
    """

    conversation: str | None = None
    parent: str | None = None
    agent: str | None = None
    program: str = "claude-code"
    version: str | None = None
    tools: dict[str, str] = msgspec.field(default_factory=dict)
    cwd: str | None = None
    branch: str | None = None
    calls: dict[str, str] = msgspec.field(default_factory=dict)
    streamed: str | None = None
    model: str | None = None
