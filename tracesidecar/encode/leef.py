"""Records of format `leef`: lines of QRadar's Log Event Extended Format, version 2.0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from tracesidecar import __version__
from tracesidecar.dialects import COLUMNS, Event
from tracesidecar.encode.cef import number
from tracesidecar.encode.control_characters import replace_control_characters
from tracesidecar.encode.event_fields import epoch_microseconds, parse_labels
from tracesidecar.encode.severity import severity_of
from tracesidecar.model import Severity

DELIMITER = "\t"
"""Written as `x09` in the header; LEEF 1.0 has the same delimiter."""

SEVERITIES: dict[Severity, int] = {"informational": 1, "low": 3, "medium": 6}

PREDEFINED: dict[str, str] = {
    "user_id": "usrName",
    "host_name": "resource",
    "role": "role",
    "text": "msg",
    "command": "command_line",
}
"""Column → predefined attribute; `src` and `dst` are addresses, which a trace does not have."""

_OTHER_FIELDS = {
    "event_time": "`devTime`, in milliseconds",
    "event_kind": "event id",
    "labels": "`label_…`",
}
_KEYS: tuple[tuple[str, str], ...] = tuple(
    (column.name, PREDEFINED.get(column.name, column.name))
    for column in COLUMNS
    if column.name not in _OTHER_FIELDS
)

COLUMN_MAPPING: Mapping[str, str] = {column: f"`{key}`" for column, key in _KEYS} | _OTHER_FIELDS


def header_value(text: str) -> str:
    """Return a text as a value of the header, which has no escapes: separators become spaces."""
    return replace_control_characters(
        text.replace("|", " ").replace("\t", " ").replace("\n", " ").replace("\r", " ")
    )


def attribute_value(text: str) -> str:
    r"""Return a text as the value of an attribute.

    IBM defines no escapes; `\t`, `\n`, `\r` and `\\` are the ones that parsers undo. A value may
    contain `=`.
    """
    text = text.replace("\\", "\\\\")
    if text.isprintable():  # as nearly all are: nothing else has to be looked for
        return text
    return replace_control_characters(
        text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    )


def attribute_key(name: str) -> str:
    """Return the key for a label.

    It has letters, digits and `_` after `label_`, so that it is never a predefined attribute.
    """
    return "label_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def encode(event: Event, dialect: str) -> bytes:
    """Return an event as one line of text."""
    # A dictionary, because QRadar ignores the second attribute with the same key.
    pairs = dict(_attributes(event, dialect))
    return (
        _header(event.event_kind) + DELIMITER.join(f"{key}={value}" for key, value in pairs.items())
    ).encode()


@lru_cache(maxsize=64)
def _header(kind: str) -> str:
    return (
        f"LEEF:2.0|tracesidecar|tracesidecar|{header_value(__version__)}|{header_value(kind)}|x09|"
    )


def _attributes(event: Event, dialect: str) -> Iterator[tuple[str, str]]:
    yield "devTime", str(epoch_microseconds(event.event_time) // 1000)
    yield "sev", str(SEVERITIES[severity_of(event)])
    yield "cat", attribute_value(dialect)
    for column, key in _KEYS:
        value = getattr(event, column)
        if value is not None and value != "":
            yield key, attribute_value(value) if isinstance(value, str) else number(value)
    for name, label in parse_labels(event.labels).items():
        yield attribute_key(name), attribute_value(label)
