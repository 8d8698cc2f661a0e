"""Rollouts of Codex (command line, editors, desktop): one file for each thread.

Forks and subagents have a copy of their parent's history before their own. What `codex exec --json`
prints has other lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.codex import exec_json
from tracesidecar.dialects.codex.event_messages import map_event
from tracesidecar.dialects.codex.forks import begin_fork, is_copy
from tracesidecar.dialects.codex.line import ForkState, Line, RolloutPayload, State
from tracesidecar.dialects.codex.response_items import map_item
from tracesidecar.dialects.codex.usage import map_token_count, map_usage_record
from tracesidecar.dialects.dialect import Dialect, EventFactory, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.parsing import JsonObject, at, count, fields, text, utc

_ROLLOUT = re.compile(
    r"/(?:archived_)?sessions/(?:.{1,400}/)?rollout-[^/]{1,200}\.jsonl(?:\.zst)?\Z"
)
_THREAD = re.compile(r"/rollout-[0-9T-]{10,30}-([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})")
_BOOKKEEPING = frozenset(
    (
        "inter_agent_communication",
        "inter_agent_communication_metadata",
        "realtime_item",
        "retained_context",
        "security_risk_score",
        "world_state",
    )
)
_TYPES = _BOOKKEEPING | {
    "session_meta",
    "turn_context",
    "response_item",
    "event_msg",
    "compacted",
    "token_usage_record",
}
_decode = msgspec.json.Decoder(Line).decode
_decode_payload = msgspec.json.Decoder(RolloutPayload).decode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the folders of rollouts, and the envelope of type, payload and time."""
    if _ROLLOUT.search(with_slashes(path)) or exec_json.recognise(line):
        return True
    return (
        line.get("type") in _TYPES and isinstance(line.get("payload"), dict) and "timestamp" in line
    )


def begin(file: FileName) -> State:
    """Take the thread from the name of the file."""
    thread = _THREAD.search(with_slashes(file.path))
    return State(file.name_conversation(thread[1]) if thread else file.conversation)


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line to one event, usage to several.

    A copy of the parent's history is bookkeeping, and its tokens are a repeat.
    """
    line = _decode(data)
    if not line.payload and exec_json.is_one(text(line.type)):
        return exec_json.map_line(data, state)
    has_envelope = bool(line.payload)
    payload = _decode_payload(line.payload if has_envelope else data)
    kind = text(line.type) if has_envelope else _kind_without_envelope(payload)
    time = utc(line.timestamp)
    make = _envelope(text(payload.id) if kind == "response_item" else None, time, state)
    if kind == "session_meta":
        return [make("session_start" if _session_meta(payload, time, state) else "state")]
    turn = text(payload.turn_id)
    is_usage = payload.type == "token_count"
    is_copied = is_copy(state.fork, time, turn, count(line.ordinal), is_usage=is_usage)
    if turn is not None:
        state.turn = turn
    counted, records = dict(state.counted), dict(state.records)
    found = (
        map_token_count(payload, state, make)
        if is_usage and kind == "event_msg"
        else [_event(kind, payload, state, make)]
    )
    if is_copied:
        state.counted, state.records = counted, records
        for event in found:
            event.event_kind = "state"
            event.usage_scope = "repeat" if event.usage_scope is not None else None
        return found[-1:]
    return found


def _kind_without_envelope(payload: RolloutPayload) -> str | None:
    kind = text(payload.type)
    if kind is None:
        return "session_meta" if text(payload.id) is not None else "world_state"
    return kind if kind in _TYPES else "response_item"


def _envelope(native_id: str | None, time: str | None, state: State) -> EventFactory:
    """Return what makes events with the columns that all events of the line have.

    They are read from the state when the event is made, after the line has changed it.
    """

    def make(kind: EventKind) -> Event:
        return Event(
            event_kind=kind,
            native_id=native_id,
            conversation_id=state.conversation,
            parent_conversation_id=state.parent,
            agent_id=state.agent,
            is_subagent=state.is_subagent,
            event_time=time,
            event_time_source="line" if time else None,
            agent_name="codex",
            agent_version=state.version,
            cwd=state.cwd,
            git_repository=state.repository,
            git_branch=state.branch,
        )

    return make


def _session_meta(meta: RolloutPayload, time: str | None, state: State) -> bool:
    """Take over a `session_meta`, and return whether it begins a session.

    A fork has those of its ancestors too, after its own.
    """
    session = text(meta.id) or text(meta.session_id)
    if state.session is not None and (session == state.session or state.parent is not None):
        if session != state.session and state.fork.phase == "child":
            state.fork.phase = "copied"
        return False
    spawn = at(meta.source, "subagent", "thread_spawn", "parent_thread_id")
    started_by = text(meta.parent_thread_id) or text(spawn)
    state.session, state.conversation = session, session or state.conversation
    state.parent = started_by or text(meta.forked_from_id)
    state.is_subagent = (
        started_by is not None
        or meta.thread_source == "subagent"
        or "subagent" in fields(meta.source)
    )
    state.agent = (
        (text(meta.agent_path) or text(meta.agent_nickname)) if state.is_subagent else None
    )
    state.cwd, state.version, state.provider = (
        text(meta.cwd),
        text(meta.cli_version),
        text(meta.model_provider),
    )
    state.repository, state.branch = (
        text(at(meta.git, "repository_url")),
        text(at(meta.git, "branch")),
    )
    state.model = state.turn = state.totals = state.tier = None
    state.items, state.records, state.counted, state.has_records = {}, {}, {}, False
    state.fork = begin_fork(session, meta, time) if state.parent is not None else ForkState()
    return True


def _event(kind: str | None, payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    if kind == "response_item":
        return map_item(payload, state, make)
    if kind == "event_msg":
        return map_event(payload, state, make)
    if kind == "token_usage_record":
        return map_usage_record(payload, state, make)
    if kind == "turn_context":
        state.model = text(payload.model) or state.model
        state.cwd = text(payload.cwd) or state.cwd
        state.provider = text(payload.model_provider) or state.provider
        state.tier = text(payload.service_tier) or state.tier
        return make("state")
    if kind == "compacted":
        event = make("compaction")
        event.text = text(payload.message)
        return event
    if kind not in _BOOKKEEPING:
        raise UnknownType(kind or "none", make("unknown"))
    return make("state")


DIALECT = Dialect(
    name="codex",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
    bulky=(
        ("payload", "replacement_history"),
        ("payload", "base_instructions"),
        ("payload", "instructions"),
    ),
)
