"""How intakes answer a request, by their public documentation: for the receiver, where no real
server is available, or none that names an invalid event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

Judgment = tuple[int, dict[str, Any] | str]

DATADOG_BYTES, DATADOG_RECORDS = 5_000_000, 1000


def datadog(headers: Mapping[str, str], body: bytes, control: dict[str, Any]) -> Judgment:
    """Logs API v2, "Send logs": 202, 400, 403, 413."""
    if headers.get("DD-API-KEY") != control.get("secret"):
        return 403, {"errors": [{"status": "403", "title": "Forbidden"}]}
    if len(body) > DATADOG_BYTES:
        return 413, {"errors": [{"status": "413", "title": "Payload too large"}]}
    try:
        logs = json.loads(body)
    except ValueError:
        return 400, {"errors": [{"status": "400", "title": "Bad Request"}]}
    if len(logs) > DATADOG_RECORDS or _is_poisoned(body, control):
        return 400, {"errors": [{"status": "400", "title": "Bad Request"}]}
    return 202, {}


def splunk(headers: Mapping[str, str], body: bytes, control: dict[str, Any]) -> Judgment:
    """HTTP Event Collector: codes 0, 4, 5 and 6, with the number of an invalid event."""
    if headers.get("Authorization") != f"Splunk {control.get('secret')}":
        return 403, {"text": "Invalid token", "code": 4}
    if not body:
        return 400, {"text": "No data", "code": 5}
    for number, event in enumerate(body.split(b"\n")):
        if _is_poisoned(event, control):
            return 400, {"text": "Invalid data format", "code": 6, "invalid-event-number": number}
    return 200, {"text": "Success", "code": 0}


def loki(headers: Mapping[str, str], body: bytes, control: dict[str, Any]) -> Judgment:
    """Loki's push API with the limits of its distributor ({"oldest"}) and ingester ({"behind"}).

    The messages are those of its pkg/validation/validate.go and pkg/ingester/stream.go; `behind`
    has the oldest time of each dialect. {"is_old_version"}: as before 2.8.
    """
    del headers
    behind = {name: _nanoseconds(time) for name, time in control.get("behind", {}).items()}
    said = []
    for stream in json.loads(body)["streams"]:
        labels = ", ".join(f'{name}="{value}"' for name, value in sorted(stream["stream"].items()))
        times = [int(time) for time, *_ in stream["values"]]
        if "oldest" in control and min(times, default=1 << 62) < _nanoseconds(control["oldest"]):
            return 400, (
                f"entry for stream '{{{labels}}}' has timestamp too old: "
                f"{_rfc3339(min(times))}, oldest acceptable timestamp is: {control['oldest']}"
            )
        if any(_is_poisoned(line.encode(), control) for _, line, *_ in stream["values"]):
            return 400, "Max entry size '10' bytes exceeded for stream"
        oldest = behind.get(stream["stream"]["dialect"], 0)
        if late := [time for time in times if time < oldest]:
            limit = f", oldest acceptable timestamp is: {_rfc3339(oldest)}"
            if control.get("is_old_version"):
                limit = ""
            said = [
                f"entry with timestamp {_rfc3339(time)} ignored, reason: "
                f"'entry too far behind{limit and f', entry timestamp is: {_rfc3339(time)}'}"
                f"{limit}',"
                for time in late[:10]
            ]
            count = f"total ignored: {len(late)} out of {len(times)}"
            said.append(f"user 'fake', {count} for stream: {{{labels}}}")
    return (400, "\n".join(said)) if said else (204, "")


def _nanoseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp()) * 1_000_000_000


def _rfc3339(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def otlp(headers: Mapping[str, str], body: bytes, control: dict[str, Any]) -> Judgment:
    """OTLP over HTTP with JSON: a partial success that counts the rejected records."""
    del headers
    records = [
        record
        for resource in json.loads(body)["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]
    rejected = sum(_is_poisoned(json.dumps(record).encode(), control) for record in records)
    if not rejected:
        return 200, {}
    return 200, {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": "hunter2"}}


def _is_poisoned(body: bytes, control: dict[str, Any]) -> bool:
    return "poison" in control and control["poison"].encode() in body


INTAKES: dict[str, Callable[[Mapping[str, str], bytes, dict[str, Any]], Judgment]] = {
    "datadog": datadog,
    "loki": loki,
    "otlp": otlp,
    "splunk": splunk,
}
