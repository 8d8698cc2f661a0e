"""Read values of decoded JSON in the shapes that traces give them.

Shared by all dialects. Every function takes a value of any type and returns None (or nothing)
where the value is something else: traces are not under our control.
"""

from tracesidecar.dialects.parsing.command_lines import command_line
from tracesidecar.dialects.parsing.content_blocks import plain_text, tool_calls
from tracesidecar.dialects.parsing.correlation import call_key, forget, recall, remember
from tracesidecar.dialects.parsing.exit_codes import exit_code, exit_code_in
from tracesidecar.dialects.parsing.json_in_text import decode_json_text, object_in_text
from tracesidecar.dialects.parsing.message_text import message_text
from tracesidecar.dialects.parsing.times import milliseconds_between, utc
from tracesidecar.dialects.parsing.tool_types import acp_tool, tool_type
from tracesidecar.dialects.parsing.values import (
    JsonObject,
    as_json,
    at,
    count,
    fields,
    items,
    real,
    text,
    total,
)

__all__ = [
    "JsonObject",
    "acp_tool",
    "as_json",
    "at",
    "call_key",
    "command_line",
    "count",
    "decode_json_text",
    "exit_code",
    "exit_code_in",
    "fields",
    "forget",
    "items",
    "message_text",
    "milliseconds_between",
    "object_in_text",
    "plain_text",
    "real",
    "recall",
    "remember",
    "text",
    "tool_calls",
    "tool_type",
    "total",
    "utc",
]
