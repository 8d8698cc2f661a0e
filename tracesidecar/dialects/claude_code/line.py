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


class State(msgspec.Struct):
    """Session and version of the last line that had them, agent and parent from the path.

    `tools` are the tools whose results are still to come.
    """

    conversation: str | None = None
    parent: str | None = None
    agent: str | None = None
    program: str = "claude-code"
    version: str | None = None
    tools: dict[str, str] = msgspec.field(default_factory=dict)
