"""The Datadog sink: logs to the intake, as JSON arrays."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from typing import Literal

import msgspec

from tracesidecar.encode.instants import epoch_microseconds
from tracesidecar.encode.jsonl import encode_lines
from tracesidecar.model import Record, Severity
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport.http_auth import Header
from tracesidecar.sinks.transport.http_endpoint import (
    Endpoint,
    EndpointOptions,
    content_headers,
    without_query,
)
from tracesidecar.sinks.transport.http_responses import judge
from tracesidecar.sinks.transport.record_sink import PostingSink
from tracesidecar.sinks.transport.request_splitter import Limits, Request, Requests, record_batches
from tracesidecar.units import Secret

REQUEST_LIMITS = Limits(records=1000, size_bytes=5_000_000 - 2)
"""Of the intake's documentation; two bytes are the brackets of the array."""

RECORD_LIMIT_BYTES = 800_000
"""A log may have 1 MB and is cut above it: the rest is for what stands around the record, and for
quotes that are escaped in it.
"""

PAST_SECONDS, FUTURE_SECONDS = 17 * 3600.0, 3600.0
"""A log whose time is more than 18 hours ago or 2 hours ahead is answered with 202 and dropped; an
hour is kept in reserve.
"""

_STATUS: Mapping[Severity, str] = {"informational": "info", "low": "notice", "medium": "warning"}


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `datadog`. `url` is the intake of the site; `tags` are `ddtags` of every
    log, `source` is `ddsource`.

    Formats that have a field which Datadog takes for the time of the log (`raw` may, `ecs` does)
    are not offered: it would drop old events.
    """

    url: str = "https://http-intake.logs.datadoghq.com/api/v2/logs"
    api_key: Secret | None = None
    api_key_file: str | None = None
    service: str = "tracesidecar"
    source: str = "tracesidecar"
    host: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    format: Literal["event", "ocsf", "cef", "leef", "otlp"] = "event"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auth is not None:
            raise ValueError("auth is not for Datadog: give api_key or api_key_file")
        if (self.api_key is None) == (self.api_key_file is None):
            raise ValueError("api_key or api_key_file: exactly one of them is needed")


def build(options: Options) -> DatadogSink:
    """Make the sink; the session is opened on entry."""
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


class DatadogSink(PostingSink):
    """Delivers at least once; the event id is an attribute of the log."""

    def __init__(self, options: Options) -> None:
        auth = Header(name="DD-API-KEY", value=options.api_key, value_file=options.api_key_file)
        super().__init__(Endpoint(options, auth=auth), Requests(REQUEST_LIMITS, self._log))
        self._options = options
        self._host = options.host or socket.gethostname()
        self._tags = "".join(f",{name}:{value}" for name, value in options.tags.items())

    async def _prove(self) -> None:
        """Post an empty log, which is dropped, as Datadog's own agent does to see that it is let
        in.
        """
        await self._submit(b"{}")

    async def _post(self, request: Request) -> None:
        await self._submit(b"[" + b",".join(request.elements) + b"]")

    async def _submit(self, body: bytes) -> None:
        compression = self._options.compression
        content = await asyncio.to_thread(encode_lines, body, compression)
        answer = await self._endpoint.request(
            "POST", content_headers("application/json", compression), content
        )
        judge(answer.status, answer.retry_after, self._endpoint.where, credential="api_key")

    def _log(self, record: Record) -> bytes:
        options = self._options
        happened, now = epoch_microseconds(record.time) / 1_000_000, time.time()
        is_recent = now - PAST_SECONDS < happened < now + FUTURE_SECONDS
        return msgspec.json.encode(
            _Log(
                message=record.body.decode(),
                ddsource=options.source,
                service=options.service,
                hostname=self._host,
                ddtags=f"dialect:{record.dialect}{self._tags}",
                status=_STATUS[record.severity],
                event_id=record.id,
                timestamp=int(happened * 1000) if is_recent else None,
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
