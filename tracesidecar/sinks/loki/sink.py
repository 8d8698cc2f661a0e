"""The Loki sink: log lines with few labels, and their identifiers as structured metadata."""

from __future__ import annotations

import asyncio
import socket

import msgspec

from tracesidecar.encode import encode_lines, epoch_microseconds
from tracesidecar.model import Record
from tracesidecar.sinks.loki.options import Options
from tracesidecar.sinks.loki.responses import BODY_LIMIT_BYTES, raise_for_response
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport import (
    HttpResponse,
    RecordRequest,
    RequestLimits,
    RequestSplitter,
    identification,
)
from tracesidecar.sinks.transport.http_endpoint import Endpoint, content_headers, without_query
from tracesidecar.sinks.transport.record_sink import RecordSink

REQUEST_LIMITS = RequestLimits(records=10_000, size_bytes=2 << 20)
"""Loki's rate limiter allows bursts of 6 MB by default (`ingestion_burst_size_mb`).

It answers 429 to a larger request however often it is sent.
"""

RECORD_LIMIT_BYTES = 256 << 10
"""The longest line that Loki accepts by default (`max_line_size`)."""


def build(options: Options) -> LokiSink:
    """Make the sink; it opens its connections on entry."""
    return LokiSink(options)


def destination(options: Options) -> str:
    """Name the address and the tenant."""
    return f"loki:{without_query(options.url)}#{options.tenant}"


class LokiSink(RecordSink):
    """Delivers at least once.

    Loki ignores an entry that it already has: same stream, time, line and metadata, as a repeat of
    ours has. Entries with equal times but different lines are both kept (Loki's documentation,
    Architecture, "Timestamp ordering"), so several events of one microsecond are no problem.

    If Loki rejects some entries of a request it stores the others, and answers 400 for the whole
    request. Bisection isolates the rejected ones; the others are ignored as repeats.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(Endpoint(options), RequestSplitter(REQUEST_LIMITS, _encode))
        self._options = options
        self._labels = {"host": socket.gethostname(), **options.labels}
        self._headers = content_headers("application/json", options.compression) | (
            {"X-Scope-OrgID": options.tenant} if options.tenant else {}
        )

    async def _probe(self) -> None:
        """Push no streams.

        Recent versions answer 400 or 422 to that, but only once they have accepted the
        credentials.
        """
        response = await self._push(encode_lines(b'{"streams":[]}', self._options.compression))
        if response.status not in {400, 422}:
            raise_for_response(response, self._endpoint.where)

    async def _post(self, request: RecordRequest) -> None:
        content = await asyncio.to_thread(self._body, request)
        raise_for_response(await self._push(content), self._endpoint.where)

    async def _push(self, content: bytes) -> HttpResponse:
        return await self._endpoint.request(
            "POST", self._headers, content, body_limit_bytes=BODY_LIMIT_BYTES
        )

    def _body(self, request: RecordRequest) -> bytes:
        by_dialect: dict[str, list[bytes]] = {}
        for record, entry in zip(request.records, request.elements, strict=True):
            by_dialect.setdefault(record.dialect, []).append(entry)
        streams = (
            b'{"stream":%s,"values":[%s]}'
            % (msgspec.json.encode({**self._labels, "dialect": dialect}), b",".join(entries))
            for dialect, entries in by_dialect.items()
        )
        return encode_lines(b'{"streams":[%s]}' % b",".join(streams), self._options.compression)


def _encode(record: Record) -> bytes:
    time_ns = str(epoch_microseconds(record.time) * 1000)
    return msgspec.json.encode((time_ns, record.body.decode(), identification(record)))


SINK_TYPE = SinkType(
    name="loki",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="at least once",
    record_limit_bytes=RECORD_LIMIT_BYTES,
)
