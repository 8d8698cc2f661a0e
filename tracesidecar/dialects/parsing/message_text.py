"""The plain text of a message, whatever shape a platform gives it."""

from __future__ import annotations

from tracesidecar.dialects.parsing.json_in_text import decode_json_text
from tracesidecar.dialects.parsing.values import JsonObject, items, text

_DEEPEST = 8
_TEXT_KEYS = (
    "text",
    "content",
    "parts",
    "message",
    "kwargs",
    "output",
    "answer",
    "completion",
    "response",
)
_LIST_KEYS = ("messages", "choices", "generations", "outputs", "candidates")
_WITHOUT_TEXT = frozenset(
    (
        "tool_call",
        "tool_call_response",
        "tool_use",
        "tool_result",
        "reasoning",
        "thinking",
        "image_url",
        "image",
        "blob",
        "file",
        "uri",
    )
)


def message_text(value: object) -> str | None:
    """Return the text of a message, of a list of messages, or of what contains them.

    All of it may be JSON inside of a string. Known shapes: parts of OpenTelemetry GenAI,
    content blocks of OpenAI and Anthropic, generations and kwargs of LangChain. Reasoning, tool
    calls and tool results are not text.
    """
    return _text(decode_json_text(value), _DEEPEST)


def _text(value: object, depth: int) -> str | None:
    if isinstance(value, str):
        return value or None
    if depth == 0:
        return None
    if isinstance(value, list):
        found = [part for item in value if (part := _text(item, depth - 1))]
        return "\n".join(found) or None
    return _object_text(value, depth) if isinstance(value, dict) else None


def _object_text(value: JsonObject, depth: int) -> str | None:
    if text(value.get("type")) in _WITHOUT_TEXT:
        return None
    for key in _LIST_KEYS:
        last = items(value.get(key))[-1:] if key == "messages" else items(value.get(key))[:1]
        if last and (found := _text(last[0], depth - 1)):
            return found
    for key in _TEXT_KEYS:
        if found := _text(value.get(key), depth - 1):
            return found
    return None
