"""A line of a Codex rollout, and what is carried from one line to the next."""

from __future__ import annotations

from typing import Literal

import msgspec


class Line(msgspec.Struct):
    """The envelope. The first rollouts (2025) had none: there the line is the payload."""

    timestamp: object = None
    type: object = None
    ordinal: object = None
    payload: msgspec.Raw = msgspec.Raw(b"")


class RolloutPayload(msgspec.Struct):
    """All members that the payload of any type may have.

    Instructions and replaced history are left out on purpose: they may be megabytes.
    """

    type: object = None
    id: object = None
    session_id: object = None
    timestamp: object = None
    cwd: object = None
    cli_version: object = None
    source: object = None
    thread_source: object = None
    model_provider: object = None
    git: object = None
    parent_thread_id: object = None
    forked_from_id: object = None
    subagent_history_start_ordinal: object = None
    agent_nickname: object = None
    agent_path: object = None
    turn_id: object = None
    model: object = None
    role: object = None
    content: object = None
    summary: object = None
    name: object = None
    namespace: object = None
    arguments: object = None
    input: object = None
    action: object = None
    revised_prompt: object = None
    output: object = None
    call_id: object = None
    message: object = None
    text: object = None
    reason: object = None
    error: object = None
    codex_error_info: object = None
    exit_code: object = None
    success: object = None
    result: object = None
    duration: object = None
    duration_ms: object = None
    info: object = None
    usage: object = None
    response_id: object = None
    new_thread_id: object = None
    prompt: object = None
    item: object = None
    thread_settings: object = None
    service_tier: object = None
    to_model: object = None
    started_at: object = msgspec.field(default=None, name="started_at_ms")
    completed_at: object = msgspec.field(default=None, name="completed_at_ms")


class ForkState(msgspec.Struct):
    """Whether lines of the parent's history still come in a forked rollout.

    `own`: no more; `child`: they may come; `copied`: they have come. `started` is when the
    child began, `own_ms` the same by its id, and `burst` the last of the times that follow each
    other as fast as a copy is written.
    """

    phase: Literal["own", "child", "copied"] = "own"
    started: str | None = None
    own_ms: int | None = None
    first_ordinal: int | None = None
    burst: str | None = None
    has_turns: bool = False
    keeps_times: bool = False


class State(msgspec.Struct):
    """Session, model and directory of the last lines, and the last totals of tokens.

    `tools` are the tools whose results are still to come, `items` those that only items tell. The
    journal has `fork` as `replay`. A call may have a record of its usage and a change of the
    totals: `records` are the figures of records whose totals are still to come, with the key of the
    call, and `counted` those of totals whose record is.
    """

    conversation: str
    session: str | None = None
    parent: str | None = None
    agent: str | None = None
    is_subagent: bool | None = None
    provider: str | None = None
    model: str | None = None
    cwd: str | None = None
    version: str | None = None
    repository: str | None = None
    branch: str | None = None
    turn: str | None = None
    totals: list[int | None] | None = None
    fork: ForkState = msgspec.field(default_factory=ForkState, name="replay")
    tools: dict[str, str] = msgspec.field(default_factory=dict)
    tier: str | None = None
    items: dict[str, str] = msgspec.field(default_factory=dict)
    records: dict[str, str] = msgspec.field(default_factory=dict)
    counted: dict[str, str] = msgspec.field(default_factory=dict)
    has_records: bool = False
