"""The Loki sink: lines with few labels, and ids as structured metadata."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Literal

import msgspec

from tracesidecar.encode.instants import epoch_microseconds
from tracesidecar.encode.jsonl import encode_lines
from tracesidecar.encode.lake_layout import RecordFormat
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Record
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport import http_responses as http_answers
from tracesidecar.sinks.transport.http_client import Answer
from tracesidecar.sinks.transport.http_endpoint import (
    Endpoint,
    EndpointOptions,
    content_headers,
    without_query,
)
from tracesidecar.sinks.transport.record_sink import PostingSink
from tracesidecar.sinks.transport.request_splitter import (
    Limits,
    Request,
    Requests,
    identification,
    record_batches,
)

REQUEST_LIMITS = Limits(records=10_000, size_bytes=2 << 20)
"""Loki's own rate limits have a burst of 6 MB by default; a request above it is never taken."""

RECORD_LIMIT_BYTES = 256 << 10
ANSWER_BYTES = 16 << 10
MOST_LABELS = 12
"""Loki takes 15 of a stream by default, of which we have two and Loki adds one."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REASONS = (
    (b"timestamp too old", "too_old"),
    (b"timestamp too new", "too_new"),
    (b"too far behind", "too_far_behind"),
    (b"out of order", "too_far_behind"),
    (b"max entry size", "too_large"),
    (b"max line size", "too_large"),
)
"""Words of Loki's own messages, in lower case; anything else in them stays unsaid, because it may
be quoted.
"""
_FORBIDS_METADATA = b"structured metadata, but this feature is disallowed"


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `loki`.

    `url` is that of the push API; `tenant` goes as `X-Scope-OrgID`; `labels` are those of every
    stream.
    """

    tenant: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    format: RecordFormat = "event"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)

    def __post_init__(self) -> None:
        super().__post_init__()
        if unfit := [name for name in self.labels if not _LABEL.fullmatch(name)]:
            raise ValueError(
                f"labels: {unfit[0]} is no name of a label, which has letters, digits and _"
            )
        if len(self.labels) > MOST_LABELS:
            raise ValueError(f"labels: Loki takes few; at most {MOST_LABELS} of our own")


def build(options: Options) -> LokiSink:
    """Make the sink; the session is opened on entry."""
    return LokiSink(options)


def destination(options: Options) -> str:
    """Name the address and the tenant."""
    return f"loki:{without_query(options.url)}#{options.tenant}"


class LokiSink(PostingSink):
    """Delivers at least once; Loki drops a repeat, which has the same stream, time, line and
    metadata.

    Of a request that is refused the good entries are stored all the same: it is bisected until the
    refused ones stand alone.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(Endpoint(options), Requests(REQUEST_LIMITS, _entry))
        self._options = options
        self._labels = {"host": socket.gethostname(), **options.labels}
        self._headers = content_headers("application/json", options.compression) | (
            {"X-Scope-OrgID": options.tenant} if options.tenant else {}
        )

    async def _prove(self) -> None:
        """Push nothing: newer versions refuse that as a request, after they have let us in."""
        answer = await self._push(encode_lines(b'{"streams":[]}', self._options.compression))
        if answer.status not in {400, 422}:
            judge(answer, self._endpoint.where)

    async def _post(self, request: Request) -> None:
        content = await asyncio.to_thread(self._body, request)
        judge(await self._push(content), self._endpoint.where)

    async def _push(self, content: bytes) -> Answer:
        return await self._endpoint.request(
            "POST", self._headers, content, answer_bytes=ANSWER_BYTES
        )

    def _body(self, request: Request) -> bytes:
        by_dialect: dict[str, list[bytes]] = {}
        for record, entry in zip(request.records, request.elements, strict=True):
            by_dialect.setdefault(record.dialect, []).append(entry)
        streams = (
            b'{"stream":%s,"values":[%s]}'
            % (msgspec.json.encode({**self._labels, "dialect": dialect}), b",".join(entries))
            for dialect, entries in by_dialect.items()
        )
        return encode_lines(b'{"streams":[%s]}' % b",".join(streams), self._options.compression)


def judge(answer: Answer, where: str) -> None:
    """Return for a yes; raise RetryLater, or Rejected with Loki's reason."""
    if answer.status != 400:
        http_answers.judge(answer.status, answer.retry_after, where)
        return
    said = answer.body.lower()
    if _FORBIDS_METADATA in said:
        raise RetryLater(
            "configuration",
            f"{where} takes no structured metadata: set limits_config.allow_structured_metadata (schema v13)",
        )
    reason = next((reason for words, reason in _REASONS if words in said), "bad_request")
    raise Rejected(reason, f"{where} answered 400 ({reason})")


def _entry(record: Record) -> bytes:
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
