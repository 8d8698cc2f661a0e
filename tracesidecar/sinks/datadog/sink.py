"""The Datadog sink: logs to the HTTP intake, as JSON arrays."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping

import msgspec

from tracesidecar.encode import encode_lines, epoch_microseconds
from tracesidecar.model import Record, Severity
from tracesidecar.sinks.datadog.options import Options
from tracesidecar.sinks.datadog.responses import BODY_LIMIT_BYTES, raise_for_response
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport import (
    Header,
    RecordRequest,
    RequestLimits,
    RequestSplitter,
)
from tracesidecar.sinks.transport.http_endpoint import Endpoint, content_headers, without_query
from tracesidecar.sinks.transport.record_sink import RecordSink

REQUEST_LIMITS = RequestLimits(records=1000, size_bytes=5_000_000 - 2)
"""The limits in the intake's documentation; two bytes are the brackets of the array."""

RECORD_LIMIT_BYTES = 800_000
"""Datadog truncates a log above 1 MB.

The rest is for the other fields, and for the quotes in the record that have to be escaped.
"""

PAST_SECONDS, FUTURE_SECONDS = 17 * 3600.0, 3600.0
"""How old or early a time may be to be sent as the log's time.

Datadog answers 202 to a log that is more than 18 hours old or 2 hours ahead, and drops it. One hour
of each is kept in reserve.
"""

_STATUS: Mapping[Severity, str] = {"informational": "info", "low": "notice", "medium": "warning"}


def build(options: Options) -> DatadogSink:
    """Make the sink; it opens its connections on entry."""
    return DatadogSink(options)


def destination(options: Options) -> str:
    """Name the intake."""
    return f"datadog:{without_query(options.url)}"


class _Log(msgspec.Struct, omit_defaults=True):
    message: str
    ddsource: str
    service: str
    hostname: str
    ddtags: str
    status: str
    event_id: str
    timestamp: int | None = None


class DatadogSink(RecordSink):
    """Delivers at least once; the log's attribute `event_id` shows which logs are repeats."""

    def __init__(self, options: Options) -> None:
        auth = Header(name="DD-API-KEY", value=options.api_key, value_file=options.api_key_file)
        super().__init__(
            Endpoint(options, auth=auth), RequestSplitter(REQUEST_LIMITS, self._encode)
        )
        self._options = options
        self._host = options.host or socket.gethostname()
        self._tags = "".join(f",{name}:{value}" for name, value in options.tags.items())

    async def _probe(self) -> None:
        """Post an empty log, which the intake drops: Datadog's own agent tests its key so."""
        await self._post_body(b"{}")

    async def _post(self, request: RecordRequest) -> None:
        await self._post_body(b"[" + b",".join(request.elements) + b"]")

    async def _post_body(self, body: bytes) -> None:
        compression = self._options.compression
        content = await asyncio.to_thread(encode_lines, body, compression)
        response = await self._endpoint.request(
            "POST",
            content_headers("application/json", compression),
            content,
            body_limit_bytes=BODY_LIMIT_BYTES,
        )
        await asyncio.to_thread(raise_for_response, response, self._endpoint.where)

    def _encode(self, record: Record) -> bytes:
        options = self._options
        event_seconds, now = epoch_microseconds(record.time) / 1_000_000, time.time()
        is_accepted = now - PAST_SECONDS < event_seconds < now + FUTURE_SECONDS
        return msgspec.json.encode(
            _Log(
                message=record.body.decode(),
                ddsource=options.source,
                service=options.service,
                hostname=self._host,
                ddtags=f"dialect:{record.dialect}{self._tags}",
                status=_STATUS[record.severity],
                event_id=record.id,
                timestamp=int(event_seconds * 1000) if is_accepted else None,
            )
        )


SINK_TYPE = SinkType(
    name="datadog",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="at least once",
    record_limit_bytes=RECORD_LIMIT_BYTES,
)
