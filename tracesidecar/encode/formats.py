"""The record formats by name: how an event is written in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tracesidecar.dialects import Event
from tracesidecar.encode import canonical as event
from tracesidecar.encode import cef, ecs, leef, ocsf, otlp


class RecordEncoder(Protocol):
    """Returns an event of a dialect as one record, which contains no newline.

    It has no side effects and does not change the event.
    """

    def __call__(self, event: Event, dialect: str, /) -> bytes:
        """Return the record of one event."""
        ...


@dataclass(frozen=True, slots=True)
class EventFormat:
    """A format: its encoder, and in Markdown where it puts each column."""

    encode: RecordEncoder
    column_mapping: Mapping[str, str]


EVENT_FORMATS: Mapping[str, EventFormat] = {
    "event": EventFormat(event.encode, event.COLUMN_MAPPING),
    "ecs": EventFormat(ecs.encode, ecs.COLUMN_MAPPING),
    "ocsf": EventFormat(ocsf.encode, ocsf.COLUMN_MAPPING),
    "cef": EventFormat(cef.encode, cef.COLUMN_MAPPING),
    "leef": EventFormat(leef.encode, leef.COLUMN_MAPPING),
    "otlp": EventFormat(otlp.encode, otlp.COLUMN_MAPPING),
}


def encoder_for(format: str, *, partitioned: bool = False) -> RecordEncoder:  # noqa: A002 - the word of the configuration
    """Return the encoder of a format, a key of EVENT_FORMATS.

    `partitioned` matters only to `event`: it leaves `dt` and `dialect` to the lake's paths.
    """
    if partitioned and format == "event":
        return event.encode_partitioned
    return EVENT_FORMATS[format].encode


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
