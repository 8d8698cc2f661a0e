"""The record formats by name: how an event is written in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tracesidecar.dialects import Event
from tracesidecar.encode import canonical as event
from tracesidecar.encode import cef, ecs, leef, ocsf, otlp
from tracesidecar.encode.control_characters import escape_control_characters


class RecordEncoder(Protocol):
    """Returns an event of a dialect as one record, which contains no newline.

    It has no side effects and does not change the event.
    """

    def __call__(self, event: Event, dialect: str, /) -> bytes:
        """Return the record of one event."""
        ...


@dataclass(frozen=True, slots=True)
class EventFormat:
    """A format: its encoder, and in Markdown where it puts each column.

    `is_json`: its records are JSON, in which control characters can be escaped.
    """

    encode: RecordEncoder
    column_mapping: Mapping[str, str]
    is_json: bool = True


EVENT_FORMATS: Mapping[str, EventFormat] = {
    "event": EventFormat(event.encode, event.COLUMN_MAPPING),
    "ecs": EventFormat(ecs.encode, ecs.COLUMN_MAPPING),
    "ocsf": EventFormat(ocsf.encode, ocsf.COLUMN_MAPPING),
    "cef": EventFormat(cef.encode, cef.COLUMN_MAPPING, is_json=False),
    "leef": EventFormat(leef.encode, leef.COLUMN_MAPPING, is_json=False),
    "otlp": EventFormat(otlp.encode, otlp.COLUMN_MAPPING),
}


def encoder_for(
    format: str,  # noqa: A002 - the word of the configuration
    *,
    partitioned: bool = False,
    as_text: bool = False,
) -> RecordEncoder:
    """Return the encoder of a format, a key of EVENT_FORMATS.

    `partitioned` matters only to `event`: it leaves `dt` and `dialect` to the lake's paths. With
    `as_text` no record has a character that acts where it is shown; CEF and LEEF never have one.
    """
    encode: RecordEncoder = (
        event.encode_partitioned
        if partitioned and format == "event"
        else EVENT_FORMATS[format].encode
    )
    return _Escaped(encode) if as_text and EVENT_FORMATS[format].is_json else encode


@dataclass(frozen=True, slots=True)
class _Escaped:
    encode: RecordEncoder

    def __call__(self, event: Event, dialect: str, /) -> bytes:
        return escape_control_characters(self.encode(event, dialect))


def mapping_table(format: str) -> str:  # noqa: A002 - the word of the configuration
    """Return a Markdown table that shows where a format puts each column of an event."""
    rows = (
        f"| `{column}` | {position} |"
        for column, position in sorted(
            EVENT_FORMATS[format].column_mapping.items(), key=lambda item: _order(item[0])
        )
    )
    return "\n".join(("| column | where |", "|---|---|", *rows)) + "\n"


def _order(column: str) -> int:
    return Event.__struct_fields__.index(column)
