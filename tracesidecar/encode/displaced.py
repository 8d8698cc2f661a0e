"""Mark encoded records that are in the partition of the day of arrival, not in that of their own.

A batch learns which days are too many only when it has encoded some of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tracesidecar.dialects import TimeSource

DISPLACED: TimeSource = "beyond_limit"
"""What `event_time_source` is in such a record; its `event_time` stays."""

_SOURCE = rb"[a-z_]+"
_JSON = rb'("event_time_source":")' + _SOURCE
_FIELDS: Mapping[str, re.Pattern[bytes]] = {
    # In a JSON text a quotation mark is escaped, and in a CEF value an equals sign, in a LEEF value
    # a tab: so none of these matches within a value.
    "event": re.compile(_JSON),
    "ecs": re.compile(_JSON),
    "ocsf": re.compile(_JSON),
    "otlp": re.compile(
        rb'("key":"tracesidecar\.event_time_source","value":{"stringValue":")' + _SOURCE
    ),
    "cef": re.compile(rb"( TracesidecarEventTimeSource=)" + _SOURCE),
    "leef": re.compile(rb"(\tevent_time_source=)" + _SOURCE),
}


def mark_displaced(lines: bytes, record_format: str) -> bytes:
    """Return records of a format with the mark; one that has no source of its time stays."""
    return _FIELDS[record_format].sub(rb"\1" + DISPLACED.encode(), lines)
