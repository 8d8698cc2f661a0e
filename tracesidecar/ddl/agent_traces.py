"""The table `agent_traces`: one row for each turn, in the columns that trace viewers read."""

from __future__ import annotations

from tracesidecar.ddl.statement import Types
from tracesidecar.dialects import Column

TURN_COLUMNS: tuple[Column, ...] = (
    Column(
        "id",
        "string",
        "event_id of the message that began the turn; a digest if the turn is a day without such "
        "a message",
        required=True,
    ),
    Column("session_id", "string", "conversation_id of its events", required=True),
    Column("agent_id", "string", "agent_id of its events; NULL for the main agent"),
    Column("workspace_id", "string", "Repository, else working directory"),
    Column("started_at", "string", "When the message came", required=True),
    Column(
        "finished_at",
        "string",
        "End of the last action of the agent; NULL before its first",
    ),
    Column("duration_ms", "double", "finished_at minus started_at", unit="ms"),
    Column(
        "prompt_tokens", "bigint", "input_tokens of its model calls, each call once", unit="tokens"
    ),
    Column(
        "completion_tokens",
        "bigint",
        "output_tokens of its model calls, each call once",
        unit="tokens",
    ),
    Column("total_tokens", "bigint", "prompt_tokens and completion_tokens together", unit="tokens"),
    Column(
        "final_status",
        "string",
        "NULL while the turn continues, or if its end was not seen",
        values=("completed", "timeout", "error"),
    ),
    Column("error_message", "string", "Message of the error that ended it"),
    Column("tool_call_count", "bigint", "Tool calls in it", required=True),
    Column(
        "tool_calls",
        "string",
        "JSON: the first thousand, as [{toolName, durationMs, error, timestamp}]; timestamp in ms "
        "since the epoch",
        required=True,
    ),
    Column(
        "circuit_breaker_events",
        "string",
        "JSON array; always empty, because no trace file has any",
        required=True,
    ),
    Column("dialect", "string", "Dialect of the trace file", required=True),
    Column("agent_name", "string", "Program that wrote the trace"),
    Column("trace_id", "string", "Trace whose spans make up the turn; NULL for transcripts"),
)
"""Columns are only ever added, at the end."""

TIMES = ("started_at", "finished_at")
DOCUMENTS = ("tool_calls", "circuit_breaker_events")


def turn_type(column: Column, types: Types, document: str) -> str:
    """Return the type of a column; `document` is the engine's type for JSON."""
    if column.name in DOCUMENTS:
        return document
    return types.time if column.name in TIMES else types.type_of(column)


def turns_table(name: str, types: Types, document: str) -> str:
    """Return the statement that creates the table."""
    columns = ",\n".join(
        f"  {column.name} {turn_type(column, types, document)}"
        f"{' NOT NULL' if column.required else ''}"
        for column in TURN_COLUMNS
    )
    return f"CREATE TABLE IF NOT EXISTS {name} (\n{columns},\n  PRIMARY KEY (id)\n)"
