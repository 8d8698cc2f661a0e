"""Records of format `cef`: lines of ArcSight's Common Event Format, version 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from tracesidecar import __version__
from tracesidecar.dialects import COLUMNS, Event
from tracesidecar.encode.control_characters import replace_control_characters
from tracesidecar.encode.event_fields import epoch_microseconds, parse_labels
from tracesidecar.encode.severity import severity_of
from tracesidecar.model import Severity

SEVERITIES: dict[Severity, int] = {"informational": 1, "low": 3, "medium": 6}

STANDARD: dict[str, str] = {
    "event_id": "externalId",
    "operation_name": "act",
    "outcome": "outcome",
    "error_message": "reason",
    "agent_name": "deviceProcessName",
    "host_name": "dvchost",
    "user_id": "suser",
    "text": "msg",
    "file_path": "filePath",
    "url": "request",
}
"""Column → key of the extension dictionary."""

LABELLED: dict[str, tuple[str, str]] = {
    "conversation_id": ("cs1", "conversation"),
    "model": ("cs2", "model"),
    "tool_name": ("cs3", "tool"),
    "tool_type": ("cs4", "toolType"),
    "command": ("cs5", "commandLine"),
    "redaction_kinds": ("cs6", "redactions"),
    "input_tokens": ("cn1", "inputTokens"),
    "output_tokens": ("cn2", "outputTokens"),
    "redaction_count": ("cn3", "redactionCount"),
    "cost_usd": ("cfp1", "costUsd"),
    "duration_ms": ("cfp2", "durationMs"),
}
"""Column → numbered custom key, and the label that explains it."""


def custom_key(words: str) -> str:
    """Return a key for a name that is not in the dictionary.

    It is `Tracesidecar` and the words, with letters and digits only, as CEF's naming
    guidelines ask for.
    """
    return "Tracesidecar" + "".join(
        word[:1].upper() + word[1:]
        for word in "".join(c if c.isascii() and c.isalnum() else " " for c in words).split()
    )


_OTHER_FIELDS = {
    "event_time": "`rt`, in milliseconds",
    "event_kind": "event class id and name",
    "labels": "`TracesidecarLabel…`",
}
_CUSTOM: tuple[tuple[str, str], ...] = tuple(
    (column.name, custom_key(column.name))
    for column in COLUMNS
    if column.name not in {**STANDARD, **LABELLED, **_OTHER_FIELDS}
)
_KEYS: tuple[tuple[str, str], ...] = (
    *STANDARD.items(),
    *((column, key) for column, (key, _) in LABELLED.items()),
    *_CUSTOM,
)
_LABELS: dict[str, str] = {key: f" {key}Label={label}" for key, label in LABELLED.values()}

COLUMN_MAPPING: Mapping[str, str] = (
    {column: f"`{key}`" for column, key in (*STANDARD.items(), *_CUSTOM)}
    | {column: f"`{key}` with `{key}Label={label}`" for column, (key, label) in LABELLED.items()}
    | _OTHER_FIELDS
)


def header_value(text: str) -> str:
    """Return a text as a value of the header, which has no escape for the end of a line."""
    return replace_control_characters(
        text.replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("\n", " ")
        .replace("\r", " ")
        .replace("\t", " ")
    )


def extension_value(text: str) -> str:
    """Return a text as a value of the extension.

    It has escapes for line breaks, but none for a tab, which becomes a blank.
    """
    text = text.replace("\\", "\\\\").replace("=", "\\=")
    if text.isprintable():  # as nearly all are: nothing else has to be looked for
        return text
    return replace_control_characters(
        text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", " ")
    )


def number(value: float) -> str:
    """Return a number as text; a boolean as `true` or `false`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def encode(event: Event, dialect: str) -> bytes:
    """Return an event as one line of text."""
    return (
        _header(event.event_kind, severity_of(event)) + " ".join(_extension(event, dialect))
    ).encode()


@lru_cache(maxsize=64)
def _header(kind: str, level: Severity) -> str:
    name = header_value(kind.replace("_", " ").capitalize())
    product = f"CEF:0|tracesidecar|tracesidecar|{header_value(__version__)}"
    return f"{product}|{header_value(kind)}|{name}|{SEVERITIES[level]}|"


def _extension(event: Event, dialect: str) -> Iterator[str]:
    yield f"rt={epoch_microseconds(event.event_time) // 1000}"
    yield f"cat={extension_value(dialect)}"
    for column, key in _KEYS:
        value = getattr(event, column)
        # Some parsers read the next key as the value of an empty one.
        if value is not None and value != "":
            text = extension_value(value) if isinstance(value, str) else number(value)
            yield f"{key}={text}{_LABELS.get(key, '')}"
    # Two labels may give the same key, which may appear only once.
    by_key = {
        custom_key(f"label {name}"): label for name, label in parse_labels(event.labels).items()
    }
    for key, label in by_key.items():
        yield f"{key}={extension_value(label)}"
