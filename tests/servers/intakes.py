"""How intakes answer a request, by their public documentation: for the receiver, where no real
server is available, or none that names an invalid event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Judgment = tuple[int, dict[str, Any]]

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


def _is_poisoned(body: bytes, control: dict[str, Any]) -> bool:
    return "poison" in control and control["poison"].encode() in body


INTAKES: dict[str, Callable[[Mapping[str, str], bytes, dict[str, Any]], Judgment]] = {
    "datadog": datadog,
    "splunk": splunk,
}
