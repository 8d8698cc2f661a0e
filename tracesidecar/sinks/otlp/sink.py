"""The OTLP sink: log records over HTTP to any OpenTelemetry receiver."""

from __future__ import annotations

import asyncio

import structlog

from tracesidecar.encode import encode_lines, export_request, to_protobuf
from tracesidecar.errors import Rejected
from tracesidecar.model import Record
from tracesidecar.sinks.otlp.options import Options
from tracesidecar.sinks.otlp.responses import BODY_LIMIT_BYTES, parse_rejected
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport import (
    RecordRequest,
    RequestLimits,
    RequestSplitter,
)
from tracesidecar.sinks.transport.http_endpoint import Endpoint, content_headers, without_query
from tracesidecar.sinks.transport.record_sink import RecordSink

REQUEST_LIMITS = RequestLimits(records=10_000, size_bytes=4 << 20)
"""gRPC's default limit for a message, which many receivers also have for HTTP."""

RECORD_LIMIT_BYTES = (4 << 20) - 1024
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

    A partial success gives only the number of rejected records. Bisection finds them: a record is
    stored once it was in a request of which the receiver rejected none, and rejected once the
    receiver rejected it alone. The request itself is never repeated, which the specification
    forbids ("the client MUST NOT retry the request"). docs/sinks/otlp.md says what that costs.
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
        rejected, sent = await self._export(tuple(request.elements)), len(request.elements)
        if not rejected:
            return
        where = self._endpoint.where
        log.warning(
            "sink.partial_success",
            sink=self._options.name,
            refused=rejected,
            sent=sent,
            first_event=request.records[0].id,
        )
        if rejected == sent:
            raise Rejected(
                "partial_success",
                f"{where} rejected all {sent} records; see its log for the reason",
                records=tuple(range(sent)),
            )
        raise Rejected(
            "partial_success",
            f"{where} accepted {sent - rejected} of {sent} records and did not say which; "
            "see its log for the reason",
            rejected_count=rejected,
        )

    async def _export(self, records: tuple[bytes, ...]) -> int:
        """Export records; return how many of them the receiver rejected."""
        content = await asyncio.to_thread(self._body, records)
        response = await self._endpoint.request(
            "POST", self._headers, content, body_limit_bytes=BODY_LIMIT_BYTES
        )
        return await asyncio.to_thread(parse_rejected, response, len(records), self._endpoint.where)

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
