"""Invented events of every kind and every type of tool, as the interpreter makes them: all required
columns are set.
"""

from __future__ import annotations

import hashlib
import json
from typing import get_args

import msgspec

from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.tool_calls import set_target
from tracesidecar.encode.content import Content, narrowing_of
from tracesidecar.encode.formats import RecordEncoder, encoder_for

KEY = b"the key of this installation...."
DIALECT = "claude_code"
TRICKY = 'a|b=c\\d "e"\nf\tg\r\nh \u2028 é 漢 🦊 \x1f'


def event(kind: str, **columns: object) -> Event:
    """Return an event of that kind with its required columns."""
    name = f"{kind} {sorted(columns.items(), key=lambda item: item[0])}"
    required: dict[str, object] = {
        "schema_version": 3,
        "event_id": hashlib.sha256(name.encode()).hexdigest()[:32],
        "conversation_id": "conv-7f3a",
        "event_time": "2026-09-01T10:00:00.123456Z",
        "event_time_source": "line",
        "ingest_time": "2026-09-01T10:00:07.000000Z",
        "host_name": "build-17",
        "agent_name": "wren",
        "agent_version": "2.4.1",
        "source_file": "/srv/wren/traces/conv-7f3a.jsonl",
        "source_line": 12,
        "source_offset": 4096,
        "line_bytes": 321,
        "line_sha256": hashlib.sha256(b"line").hexdigest(),
        "line_state": "ok",
        "redaction_count": 0,
        "redaction_kinds": "",
        "truncated": False,
        "labels": '{"agent":"builder","team.name":"orchard"}',
        "generation": 0,
        "processed_by": "1.0.0+0a1b2c3d",
    }
    usual = Event(event_kind="state")
    return msgspec.structs.replace(usual, **(required | columns), event_kind=kind)


def encoder_at(form: str, content: Content) -> RecordEncoder:
    """Return what encodes an event as a sink with that `content` is given it."""
    encode, narrowing = encoder_for(form), narrowing_of(content, KEY)
    if narrowing is None:
        return encode
    return lambda event, dialect: encode(narrowing.narrow(event), dialect)


def tool_call(name: str, kind: str, arguments: object, **columns: object) -> Event:
    """Make the event of a tool's call; `columns` replaces or adds to the usual ones."""
    found = event(
        "tool_call",
        operation_name="execute_tool",
        tool_name=name,
        tool_type=kind,
        tool_call_id=f"call_{name}",
        tool_arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
        raw='{"type":"tool"}',
        **columns,
    )
    set_target(found)
    return found


EVENTS: dict[str, Event] = {
    "session_start": event(
        "session_start",
        cwd="/srv/wren",
        git_repository="https://git.example/wren.git",
        git_branch="main",
        user_id="u-42",
    ),
    "session_end": event("session_end", duration_ms=61_000.5),
    "user_message": event(
        "user_message", role="user", text="Plant three pear trees", raw='{"role":"user"}'
    ),
    "model_message": event(
        "model_message", role="assistant", text="Planted.", model="kestrel-3", finish_reason="stop"
    ),
    "model_call": event(
        "model_call",
        operation_name="chat",
        role="assistant",
        text="Planted.",
        provider_name="example_ai",
        model="kestrel-3",
        api_call_id="msg_01",
        finish_reason="end_turn",
        input_tokens=1200,
        cache_read_input_tokens=1000,
        cache_creation_input_tokens=50,
        output_tokens=80,
        reasoning_output_tokens=30,
        usage_scope="call",
        cost_usd=0.0123,
        cost_source="computed:2026-08-01",
        duration_ms=812.25,
        outcome="success",
        native_id="n-1",
        parent_id="n-0",
    ),
    "model_call without a model": event(
        "model_call", provider_name="example_ai", input_tokens=0, role="narrator"
    ),
    "model_call of many tokens": event(
        "model_call", model="kestrel-3", input_tokens=2**31, output_tokens=2**40, usage_scope="call"
    ),
    "reasoning": event(
        "reasoning",
        role="assistant",
        text="Pears need sun.",
        agent_id="sub-1",
        is_subagent=True,
        parent_conversation_id="conv-0001",
    ),
    "shell": tool_call("Bash", "shell", {"command": "ls -la /srv/pears"}, cwd="/srv/wren"),
    "shell as words": tool_call("exec", "shell", {"cmd": ["sh", "-c", "echo 'a b'"]}),
    "edit": tool_call(
        "Edit",
        "edit",
        {"file_path": "/srv/pears/plan.md", "old_string": "two", "new_string": "three"},
    ),
    "create": tool_call("create_file", "edit", {"path": "C:\\pears\\plan.md"}),
    "delete": tool_call("delete_file", "edit", {"target_file": "/srv/pears/old.md"}),
    "patch": tool_call("apply_patch", "edit", "*** Begin Patch\n*** Update File: plan.md"),
    "read": tool_call("Read", "read", {"file_path": "plan.md"}),
    "search": tool_call("Grep", "search", {"pattern": "pear", "path": "/srv"}),
    "web": tool_call("WebFetch", "web", {"url": "https://orchard.example/pears?kind=conference"}),
    "web search": tool_call("WebSearch", "web", {"query": "pears"}),
    "mcp": tool_call("mcp__orchard__plant", "mcp", {"trees": 3, "rows": [{"n": 1}]}),
    "function": tool_call("plant", "function", "3"),
    "datastore": tool_call("query", "datastore", {"sql": "select 1"}),
    "extension": tool_call("extend", "extension", {}),
    "tool_result": event(
        "tool_result",
        role="tool",
        tool_name="Bash",
        tool_type="shell",
        tool_call_id="call_Bash",
        tool_result="total 0\n",
        outcome="success",
        duration_ms=5.0,
    ),
    "failed tool_result": event(
        "tool_result",
        role="tool",
        tool_name="plant",
        tool_type="function",
        tool_call_id="call_plant",
        tool_result='{"planted":0}',
        outcome="failure",
        error_type="frost",
        error_message="the ground is frozen",
    ),
    "failed command": event(
        "tool_result",
        tool_name="Bash",
        tool_type="shell",
        tool_call_id="call_Bash",
        outcome="failure",
        exit_code=3,
    ),
    "permission": event(
        "permission",
        tool_name="Bash",
        tool_type="shell",
        tool_call_id="call_Bash",
        outcome="failure",
    ),
    "agent_run": event(
        "agent_run",
        operation_name="invoke_agent",
        agent_id="sub-1",
        duration_ms=9_000.0,
        input_tokens=5_000,
        usage_scope="agent_total",
    ),
    "compaction": event("compaction", text="Summary of what was said"),
    "error": event(
        "error",
        error_type="overloaded",
        error_message="try later",
        model="kestrel-3",
        provider_name="example_ai",
        outcome="failure",
    ),
    "error of a tool": event(
        "error",
        tool_name="Bash",
        tool_type="shell",
        tool_call_id="call_Bash",
        error_message="no such file",
        trace_id="t-1",
    ),
    "usage_summary": event(
        "usage_summary", input_tokens=90_000, output_tokens=8_000, usage_scope="session_total"
    ),
    "state": event("state", text="Title: pears", supersedes=True),
    "span": event(
        "span",
        operation_name="chat",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        native_id="b7ad6b7169203331",
        parent_id="00f067aa0ba902b7",
        duration_ms=120.5,
        outcome="success",
    ),
    "span of another id": event("span", trace_id="not-hexadecimal", native_id="b7ad6b7169203331"),
    "unknown": event(
        "unknown", raw='{"type":"surprise"}', line_state="repaired", event_time_source="carried"
    ),
    "with a secret": event(
        "user_message",
        text="my key is [REDACTED:aws-access-key]",
        redaction_count=2,
        redaction_kinds="aws-access-key:1,email:1",
    ),
    "with personal data": event(
        "user_message", text="I am [REDACTED:email]", redaction_count=1, redaction_kinds="email:1"
    ),
    "tricky": tool_call(
        TRICKY,
        "shell",
        {"command": TRICKY, TRICKY: [None, 1.5, True]},
        text=TRICKY,
        user_id=TRICKY,
        truncated=True,
    ),
    "bare": Event(
        event_kind="unknown", event_id="0" * 32, event_time="2026-09-01T10:00:00.000000Z"
    ),
}

KINDS = get_args(EventKind)
