"""The OTLP sink: log records over HTTP to any OpenTelemetry receiver."""

from __future__ import annotations

import asyncio

import structlog

from tracesidecar.encode import count_rejected_records, encode_lines, export_request, to_protobuf
from tracesidecar.errors import Rejected
from tracesidecar.model import Record
from tracesidecar.sinks.otlp.options import Options
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport import (
    HttpResponse,
    RecordRequest,
    RequestLimits,
    RequestSplitter,
    raise_for_status,
)
from tracesidecar.sinks.transport.http_endpoint import Endpoint, content_headers, without_query
from tracesidecar.sinks.transport.record_sink import RecordSink

REQUEST_LIMITS = RequestLimits(records=10_000, size_bytes=4 << 20)
"""gRPC's default limit for a message, which many receivers also have for HTTP."""

RECORD_LIMIT_BYTES = (4 << 20) - 1024
BODY_LIMIT_BYTES = 64 << 10
MEDIA_TYPES = {"json": "application/json", "protobuf": "application/x-protobuf"}

log = structlog.get_logger(__name__)


def build(options: Options) -> OtlpSink:
    """Make the sink; it opens its connections on entry."""
    return OtlpSink(options)


def destination(options: Options) -> str:
    """Name the receiver's address."""
    return f"otlp:{without_query(options.url)}"


class OtlpSink(RecordSink):
    """Delivers at least once; a repeat has the same `log.record.uid`.

    A partial success gives only the number of rejected records, and the specification forbids to
    send the request again ("the client MUST NOT retry"). So all its records are reported as
    rejected, with the number of those that really are.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(Endpoint(options), RequestSplitter(REQUEST_LIMITS, _encode))
        self._options = options
        self._headers = {
            **options.headers,
            **content_headers(MEDIA_TYPES[options.encoding], options.compression),
        }

    async def _probe(self) -> None:
        """Export no records, which is a success."""
        await self._export(())

    async def _post(self, request: RecordRequest) -> None:
        response = await self._export(tuple(request.elements))
        if rejected := count_rejected_records(response.body, self._options.encoding):
            sent = len(request.elements)
            log.warning(
                "sink.partial_success",
                sink=self._options.name,
                refused=rejected,
                sent=sent,
                first_event=request.records[0].id,
            )
            raise Rejected(
                "partial_success",
                f"{self._endpoint.where} accepted {max(sent - rejected, 0)} of {sent} records "
                "and did not say which; see its log for the reason",
                records=tuple(range(sent)),
                rejected_count=rejected,
            )

    async def _export(self, records: tuple[bytes, ...]) -> HttpResponse:
        content = await asyncio.to_thread(self._body, records)
        response = await self._endpoint.request(
            "POST", self._headers, content, body_limit_bytes=BODY_LIMIT_BYTES
        )
        raise_for_status(response, self._endpoint.where)
        return response

    def _body(self, records: tuple[bytes, ...]) -> bytes:
        body = export_request(records)
        return encode_lines(
            to_protobuf(body) if self._options.encoding == "protobuf" else body,
            self._options.compression,
        )


def _encode(record: Record) -> bytes:
    return record.body


SINK_TYPE = SinkType(
    name="otlp",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="at least once",
    record_limit_bytes=RECORD_LIMIT_BYTES,
)
