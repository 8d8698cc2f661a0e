"""The content of a message as model APIs commonly shape it: blocks of text, and tool calls."""

from __future__ import annotations

from typing import NamedTuple

from tracesidecar.dialects.parsing.values import as_json, fields, items, text


class ToolRequest(NamedTuple):
    """A tool call that a message asks for; `arguments` is a JSON string."""

    id: str | None
    name: str | None
    arguments: str | None


def plain_text(content: object) -> str | None:
    """Return the text of a string, of a block, or of a list of blocks joined by newlines."""
    if isinstance(content, str):
        return content or None
    if isinstance(content, dict):
        return text(content.get("text"))
    if not isinstance(content, list):
        return None
    found = (
        block if isinstance(block, str) else text(fields(block).get("text")) for block in content
    )
    return "\n".join(each for each in found if each) or None


def tool_calls(value: object) -> list[ToolRequest]:
    """Return the entries of a `tool_calls` list.

    They are flat, or have name and arguments below `function`.
    """
    calls = []
    for entry in map(fields, items(value)):
        function = fields(entry.get("function")) or entry
        calls.append(
            ToolRequest(
                text(entry.get("id")),
                text(function.get("name")),
                as_json(function.get("arguments")),
            )
        )
    return calls
