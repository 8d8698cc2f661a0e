"""Formats of records by name: what a canonical event looks like on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from msgspec.structs import replace

from tracesidecar.dialects import Event
from tracesidecar.encode import canonical as event
from tracesidecar.encode import cef, ecs, leef, ocsf, otlp

Content = Literal["full", "metadata"]


class RecordEncoder(Protocol):
    """Encode one event of a dialect as one record, without a newline at its end or within.

    Pure; the event stays as it is.
    """

    def __call__(self, event: Event, dialect: str, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write events: how, and where each column then stands, as Markdown."""

    encode: RecordEncoder
    places: Mapping[str, str]


FORMATS: Mapping[str, Format] = {
    "event": Format(event.encode, event.PLACES),
    "ecs": Format(ecs.encode, ecs.PLACES),
    "ocsf": Format(ocsf.encode, ocsf.PLACES),
    "cef": Format(cef.encode, cef.PLACES),
    "leef": Format(leef.encode, leef.PLACES),
    "otlp": Format(otlp.encode, otlp.PLACES),
}

CONTENT_COLUMNS = ("text", "tool_arguments", "tool_result", "raw")
"""What `content = "metadata"` leaves out."""
_NO_CONTENT = dict.fromkeys(CONTENT_COLUMNS)


def encoder(format: str, content: Content, *, partitioned: bool = False) -> RecordEncoder:  # noqa: A002 - the word of the configuration
    """Return the encoder of a format (a name of FORMATS); `partitioned` is for `event` in a lake
    whose paths have `dt` and `dialect`.
    """
    encode: RecordEncoder = (
        event.encode_partitioned if partitioned and format == "event" else FORMATS[format].encode
    )
    return encode if content == "full" else _MetadataOnly(encode)


@dataclass(frozen=True, slots=True)
class _MetadataOnly:
    encode: RecordEncoder

    def __call__(self, event: Event, dialect: str, /) -> bytes:
        return self.encode(replace(event, **_NO_CONTENT), dialect)


def mapping_table(format: str) -> str:  # noqa: A002 - the word of the configuration
    """Write where each column of an event stands in a format, as a Markdown table."""
    rows = (
        f"| `{column}` | {place} |"
        for column, place in sorted(
            FORMATS[format].places.items(), key=lambda item: _order(item[0])
        )
    )
    return "\n".join(("| column | where |", "|---|---|", *rows)) + "\n"


def _order(column: str) -> int:
    return Event.__struct_fields__.index(column)
