"""Transcripts of Claude Code, and of programs that write the same lines.

There is one file for each session, and one more for each subagent. `claude -p --output-format
stream-json` writes nearly the same messages, in an envelope of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.claude_code import messages, stream_json
from tracesidecar.dialects.claude_code.line import Line, State
from tracesidecar.dialects.dialect import Dialect, EventFactory, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.parsing import JsonObject, as_json, at, fields, real, text, utc

_PATH = re.compile(r"/projects/[^/]+/.*\.jsonl(?:\.gz|\.zst)?\Z")
_HOMES = ("/.claude/", "/.config/claude/", "/Claude/local-agent-mode-sessions/")
_SUBAGENT = re.compile(r"(?:/([^/]+)/subagents/(?:[^/]+/)*|/)agent-([^/]+)\.jsonl")
_PROGRAMS = {
    ".openclaude": "openclaude",
    ".iflow": "iflow",
    ".qoder": "qoder",
    ".workbuddy": "workbuddy",
    ".zcode": "zcode",
}
_BOOKKEEPING = frozenset(
    (
        "agent-color",
        "agent-name",
        "agent-setting",
        "ai-title",
        "attachment",
        "attribution-snapshot",
        "bridge-session",
        "content-replacement",
        "continued-in",
        "custom-title",
        "file-history-delta",
        "file-history-snapshot",
        "fork-context-ref",
        "frame-link",
        "last-prompt",
        "mode",
        "permission-mode",
        "pr-link",
        "progress",
        "queue-operation",
        "relocated",
        "result",
        "speculation-accept",
        "started",
        "summary",
        "tag",
        "task-summary",
        "worktree-state",
    )
)
_COMMON_NAMES = frozenset(("mode", "progress", "result", "started", "summary", "tag", "attachment"))
_decode = msgspec.json.Decoder(Line).decode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the folders where Claude Code keeps transcripts, and the keys of its envelope."""
    place = with_slashes(path)
    if _PATH.search(place) and any(home in place for home in _HOMES):
        return True
    kind = line.get("type")
    if kind in ("user", "assistant", "system", "attachment", "progress") and "sessionId" in line:
        return "isSidechain" in line and "parts" not in fields(line.get("message"))
    if kind == "summary":
        return "leafUuid" in line
    if kind in _BOOKKEEPING and kind not in _COMMON_NAMES:
        return "sessionId" in line or "messageId" in line
    if stream_json.recognise(line):
        return True
    usage = at(line, "message", "usage")
    return (
        kind in (None, "assistant")
        and isinstance(usage, dict)
        and "cache_creation_input_tokens" in usage
        and "id" not in line
    )


def begin(file: FileName) -> State:
    """Take session, agent and program from the path; lines may know better.

    A session is in `<session>.jsonl`, beside the folder `<session>` of its subagents.
    """
    place = with_slashes(file.path)
    program = next(
        (name for folder, name in _PROGRAMS.items() if f"/{folder}/" in place), "claude-code"
    )
    session = file.name_conversation(file.stem)
    subagent = _SUBAGENT.search(place)
    if subagent is None:
        return State(conversation=session, program=program)
    parent = None
    if subagent[1]:
        levels = place.count("/", subagent.start(1))
        parent = file.name_conversation(subagent[1], levels=levels)
    return State(
        conversation=parent or session,
        parent=parent,
        agent=subagent[2],
        program=program,
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line to the message with the usage of its call, reasoning, tool calls and results."""
    line = _decode(data)
    kind, make = _envelope(line, state)
    if line.stream_session is not None and (found := stream_json.map_line(kind, line, state, make)):
        return found
    if kind == "assistant":
        return messages.map_assistant(line, state, make)
    if kind == "user":
        return messages.map_user(line, state, make)
    if kind == "system":
        return [_system(line, make)]
    if kind == "attachment":
        return [_attachment(line, make)]
    event = make("state")
    event.text = (
        text(line.summary)
        or text(line.custom_title)
        or text(line.ai_title)
        or text(line.last_prompt)
        or messages.plain_text(line.content)
    )
    if kind not in _BOOKKEEPING:
        event.event_kind = "unknown"
        raise UnknownType(kind or "none", event)
    return [event]


def _envelope(line: Line, state: State) -> tuple[str | None, EventFactory]:
    """Return the line's type, and what makes events with the columns that they all share."""
    state.conversation = text(line.session_id) or text(line.stream_session) or state.conversation
    state.version = text(line.version) or text(line.stream_version) or state.version
    state.parent = text(at(line.forked_from, "sessionId")) or state.parent
    started_by = text(line.parent_tool_use)
    is_side = state.agent is not None or line.is_sidechain is True or started_by is not None
    parent = state.parent or (state.conversation if state.agent is not None else None)
    agent = text(line.agent_id) or state.agent
    native_id = text(line.uuid)
    parent_id = text(line.parent_uuid) or text(line.logical_parent_uuid)
    cwd = state.cwd = text(line.cwd) or state.cwd
    git_branch = state.branch = text(line.git_branch) or state.branch
    kind = text(line.type) or text(at(line.message, "role"))
    time = utc(line.timestamp)

    def make(event_kind: EventKind) -> Event:
        return Event(
            event_kind=event_kind,
            native_id=native_id,
            parent_id=parent_id,
            conversation_id=state.conversation,
            parent_conversation_id=parent,
            agent_id=agent,
            is_subagent=True if is_side else None if line.is_sidechain is None else False,
            event_time=time,
            event_time_source="line" if time else None,
            agent_name=state.program,
            agent_version=state.version,
            cwd=cwd,
            git_branch=git_branch,
            parent_tool_call_id=started_by,
        )

    return kind, make


def _system(line: Line, make: EventFactory) -> Event:
    subtype = text(line.subtype) or ""
    event = make("state")
    event.role, event.text = "system", text(line.content)
    if subtype.endswith("compact_boundary"):
        event.event_kind = "compaction"
    elif subtype == "api_error":
        event.event_kind, event.outcome = "error", "failure"
        event.error_type = (
            as_json(at(line.error, "status")) or text(at(line.error, "type")) or "api_error"
        )
        event.error_message = (
            text(at(line.error, "message"))
            or text(at(line.error, "error", "error", "message"))
            or event.text
        )
    elif subtype == "turn_duration":
        event.duration_ms = real(line.duration_ms)
    return event


def _attachment(line: Line, make: EventFactory) -> Event:
    """Map an attachment.

    What the user typed while the agent worked is only here. What a program put into the queue
    begins with its tag.
    """
    event = make("state")
    if at(line.attachment, "type") == "queued_command":
        event.role, event.text = "user", messages.plain_text(at(line.attachment, "prompt"))
        if event.text is not None and not event.text.startswith("<"):
            event.event_kind = "user_message"
    return event


DIALECT = Dialect(
    name="claude_code",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
    bulky=(("toolUseResult", "originalFile"),),
)
