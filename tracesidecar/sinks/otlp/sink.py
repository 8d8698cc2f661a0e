"""The OTLP sink: log records over HTTP to whatever speaks OpenTelemetry."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Literal

import msgspec
import structlog

from tracesidecar.encode.jsonl import encode_lines
from tracesidecar.encode.otlp_request import export_request, protobuf, refused_records
from tracesidecar.errors import Rejected
from tracesidecar.model import Record
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport.http_client import Answer
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

REQUEST_LIMITS = Limits(records=10_000, size_bytes=4 << 20)
"""What a receiver takes at least, by default: the limit of gRPC, which many have for HTTP too."""

RECORD_LIMIT_BYTES = (4 << 20) - 1024
ANSWER_BYTES = 64 << 10
MEDIA_TYPES = {"json": "application/json", "protobuf": "application/x-protobuf"}

log = structlog.get_logger(__name__)


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `otlp`.

    `url` is the whole address, usually ending in `/v1/logs`; `headers` go with every request.
    """

    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    encoding: Literal["json", "protobuf"] = "json"
    format: Literal["otlp"] = "otlp"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding == "protobuf" and importlib.util.find_spec("opentelemetry") is None:
            raise ValueError('encoding = "protobuf" needs: pip install "tracesidecar[otlp]"')


def build(options: Options) -> OtlpSink:
    """Make the sink; the session is opened on entry."""
    return OtlpSink(options)


def destination(options: Options) -> str:
    """Name the address."""
    return f"otlp:{without_query(options.url)}"


class OtlpSink(PostingSink):
    """Delivers at least once; a repeat has the same `log.record.uid`.

    A partial success tells how many records of a request are refused, not which, and forbids a
    repeat: all of them are refused as a range.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(Endpoint(options), Requests(REQUEST_LIMITS, _body_of))
        self._options = options
        self._headers = {
            **options.headers,
            **content_headers(MEDIA_TYPES[options.encoding], options.compression),
        }

    async def _prove(self) -> None:
        """Export nothing, which is a success."""
        await self._export(())

    async def _post(self, request: Request) -> None:
        answer = await self._export(tuple(request.elements))
        if refused := refused_records(answer.body, self._options.encoding):
            sent = len(request.elements)
            log.warning(
                "sink.partial_success",
                sink=self._options.name,
                rejected_count=refused,
                sent=sent,
                first_event=request.records[0].id,
            )
            detail = f"{self._endpoint.where} took {max(sent - refused, 0)} of {sent} records and did not say which"
            raise Rejected(
                "partial_success", detail, records=tuple(range(sent)), rejected_count=refused
            )

    async def _export(self, records: tuple[bytes, ...]) -> Answer:
        content = await asyncio.to_thread(self._body, records)
        answer = await self._endpoint.request(
            "POST", self._headers, content, answer_bytes=ANSWER_BYTES
        )
        judge(answer.status, answer.retry_after, self._endpoint.where)
        return answer

    def _body(self, records: tuple[bytes, ...]) -> bytes:
        body = export_request(records)
        return encode_lines(
            protobuf(body) if self._options.encoding == "protobuf" else body,
            self._options.compression,
        )


def _body_of(record: Record) -> bytes:
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
