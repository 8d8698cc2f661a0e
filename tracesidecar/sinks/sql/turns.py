"""Turns.

The events of one agent from one user message to the next, folded into a row of `agent_traces`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import msgspec

WORK = frozenset(
    (
        "model_call",
        "model_message",
        "reasoning",
        "tool_call",
        "tool_result",
        "permission",
        "agent_run",
        "error",
        "span",
    )
)
"""The kinds of events that are an agent's work.

Bookkeeping (titles, snapshots, the end of a session) neither starts a turn nor extends it.
"""

RESPONSES = frozenset(("model_call", "model_message", "agent_run"))
MAX_LISTED_TOOLS = 1000
MAX_DURATION_MS = 366 * 86_400_000.0
"""The longest duration that is believed: traces may have any number, and no date can hold it."""


class TurnStep(NamedTuple):
    """The columns of an event that its turn needs.

    `is_cut`: steps before the first user message belong to an earlier turn, which is not computed.
    """

    dialect: str
    conversation_id: str
    thread: str
    trace_id: str
    is_cut: bool
    event_id: str
    event_time: str
    event_kind: str
    supersedes: bool | None
    duration_ms: float | None
    usage_scope: str | None
    api_call_id: str | None
    input_tokens: int | None
    output_tokens: int | None
    tool_call_id: str | None
    tool_name: str | None
    outcome: str | None
    error_type: str | None
    error_message: str | None
    agent_name: str | None
    git_repository: str | None
    cwd: str | None

    @property
    def day(self) -> str:
        """The date in UTC."""
        return self.event_time[:10]

    @property
    def starts_turn(self) -> bool:
        """Whether this is a new user message, not one that is written again."""
        return self.event_kind == "user_message" and not self.supersedes

    @property
    def is_failure(self) -> bool:
        """Whether the agent itself failed; the failure of a tool is for the agent to handle."""
        return self.event_kind == "error" or (
            self.event_kind in RESPONSES and self.outcome == "failure"
        )


class Turn(NamedTuple):
    """A row of `agent_traces`, in the order of its columns; times as RFC 3339."""

    id: str
    session_id: str
    agent_id: str | None
    workspace_id: str | None
    started_at: str
    finished_at: str | None
    duration_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    final_status: str | None
    error_message: str | None
    tool_call_count: int
    tool_calls: str
    circuit_breaker_events: str
    dialect: str
    agent_name: str | None
    trace_id: str | None


class ToolCall(msgspec.Struct, rename="camel"):
    """One entry of `tool_calls`."""

    tool_name: str | None
    duration_ms: float | None
    error: str | None
    timestamp: int


def fold_turns(steps: Iterable[TurnStep]) -> Iterator[Turn]:
    """Yield the turns of steps, which come ordered by thread, time and position in the file.

    Before the first user message each day (UTC) with work is a turn, so that an agent that runs for
    weeks does not have one endless row.
    """
    for _, thread in groupby(steps, key=lambda step: step[:4]):
        yield from _fold_thread(thread)


def _fold_thread(thread: Iterable[TurnStep]) -> Iterator[Turn]:
    turn: _TurnBuilder | None = None
    for step in thread:
        if step.starts_turn:
            if turn is not None:
                yield turn.finish()
            turn = _TurnBuilder(step, step.event_id, has_message=True)
        elif turn is None or (not turn.has_message and turn.first.day != step.day):
            if step.event_kind not in WORK or (turn is None and step.is_cut):
                continue
            if turn is not None:
                yield turn.finish()
            turn = _TurnBuilder(step, _id_of_day(step), has_message=False)
        turn.add(step)
    if turn is not None:
        yield turn.finish()


def _id_of_day(step: TurnStep) -> str:
    return hashlib.sha256("\0".join((*step[:4], step.day)).encode()).hexdigest()[:32]


@dataclass(slots=True)
class _TurnBuilder:
    first: TurnStep
    id: str
    has_message: bool
    finished_at: datetime | None = None
    last: TurnStep | None = None
    failure: TurnStep | None = None
    agent_name: str | None = None
    repository: str | None = None
    cwd: str | None = None
    calls: dict[str, TurnStep] = field(default_factory=dict)
    tools: dict[str, ToolCall] = field(default_factory=dict)

    def add(self, step: TurnStep) -> None:
        self.agent_name = self.agent_name or step.agent_name
        self.repository = self.repository or step.git_repository
        self.cwd = self.cwd or step.cwd
        if step.event_kind not in WORK:
            return
        self.last = step
        self.finished_at = max(_end(step), self.finished_at or _time(step.event_time))
        if step.is_failure:
            self.failure = step
        elif step.event_kind in RESPONSES:
            self.failure = None
        if step.usage_scope == "call":
            self._add_call(step)
        if step.event_kind in ("tool_call", "tool_result"):
            self._add_tool(step)

    def _add_call(self, step: TurnStep) -> None:
        """Keep the call's row with the most output; earlier ones are written while it streams."""
        key = step.api_call_id or step.event_id
        before = self.calls.get(key)
        if before is None or (step.output_tokens or 0) >= (before.output_tokens or 0):
            self.calls[key] = step

    def _add_tool(self, step: TurnStep) -> None:
        at = _milliseconds(_time(step.event_time))
        key = step.tool_call_id or step.event_id
        tool = self.tools.setdefault(key, ToolCall(step.tool_name, None, None, at))
        tool.tool_name = tool.tool_name or step.tool_name
        if step.duration_ms is not None:
            tool.duration_ms = step.duration_ms
        elif step.event_kind == "tool_result" and at > tool.timestamp and tool.duration_ms is None:
            tool.duration_ms = float(at - tool.timestamp)
        if step.outcome == "failure":
            tool.error = step.error_message or step.error_type or "failure"

    def finish(self) -> Turn:
        first, end = self.first, self.finished_at
        inputs, outputs = (
            [
                tokens
                for call in self.calls.values()
                if (tokens := getattr(call, column)) is not None
            ]
            for column in ("input_tokens", "output_tokens")
        )
        failure = self.failure
        return Turn(
            id=self.id,
            session_id=first.conversation_id,
            agent_id=first.thread or None,
            workspace_id=self.repository or self.cwd,
            started_at=first.event_time,
            finished_at=None if end is None else end.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            duration_ms=None
            if end is None
            else (end - _time(first.event_time)) / timedelta(milliseconds=1),
            prompt_tokens=sum(inputs) if inputs else None,
            completion_tokens=sum(outputs) if outputs else None,
            total_tokens=sum(inputs) + sum(outputs) if inputs or outputs else None,
            final_status=self._status(),
            error_message=None if failure is None else failure.error_message or failure.error_type,
            tool_call_count=len(self.tools),
            tool_calls=msgspec.json.encode(list(self.tools.values())[:MAX_LISTED_TOOLS]).decode(),
            circuit_breaker_events="[]",
            dialect=first.dialect,
            agent_name=self.agent_name,
            trace_id=first.trace_id or None,
        )

    def _status(self) -> str | None:
        if self.failure is not None:
            return "timeout" if "timeout" in (self.failure.error_type or "").lower() else "error"
        return "completed" if self.last is not None and self.last.event_kind in RESPONSES else None


def _end(step: TurnStep) -> datetime:
    """Return when the step ended.

    A span's time is its start, a transcript's line is written at the end.
    """
    start = _time(step.event_time)
    return (
        start + timedelta(milliseconds=min(max(step.duration_ms or 0.0, 0.0), MAX_DURATION_MS))
        if step.trace_id
        else start
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
