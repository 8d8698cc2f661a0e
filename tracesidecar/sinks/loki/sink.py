"""The Loki sink: log lines with few labels, and their identifiers as structured metadata."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import msgspec

from tracesidecar.encode import encode_lines, epoch_microseconds
from tracesidecar.errors import Rejected
from tracesidecar.model import Batch, Record
from tracesidecar.sinks.loki.cutoffs import Cutoffs
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

MAX_ROUNDS = 16
"""How often one request is tried without the entries that are too old.

Each stream may have a limit of its own, and limits move on with the clock. After that, bisection.
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
    request. If it says that they are too old, its message tells which they are (`Cutoffs`);
    bisection isolates all others. What is stored already is ignored as a repeat.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(Endpoint(options), RequestSplitter(REQUEST_LIMITS, _encode))
        self._options = options
        self._cutoffs = Cutoffs()
        self._cutoffs_of = ""
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
        if response.status not in {400, 422} or response.is_html:
            await asyncio.to_thread(raise_for_response, response, self._endpoint.where)

    async def send(self, batch: Batch) -> None:
        """Post the records of the batch that are not stored yet."""
        whole = batch.id.partition(".")[0]  # the parts of a bisection belong to one batch
        if whole != self._cutoffs_of:
            self._cutoffs_of = whole
            self._cutoffs.forget()
        await super().send(batch)

    async def _post(self, request: RecordRequest) -> None:
        """Push the entries that Loki has not called too old; reject the others."""
        for _round in range(MAX_ROUNDS):
            reasons = [self._cutoffs.reason(record) for record in request.records]
            accepted = [index for index, reason in enumerate(reasons) if not reason]
            try:
                await self._push_entries(request, accepted)
            except Rejected:
                if not any(self._cutoffs.reason(request.records[index]) for index in accepted):
                    raise  # for another reason: bisection finds which they are
                continue
            rejected = [index for index, reason in enumerate(reasons) if reason]
            if rejected:
                raise Rejected(
                    reasons[rejected[0]],
                    f"{self._endpoint.where} calls {len(rejected)} entries too old; "
                    "to have them, raise limits_config.reject_old_samples_max_age there",
                    records=tuple(rejected),
                    stored=True,
                    is_certain=True,
                )
            return
        raise Rejected("too_old", f"{self._endpoint.where} calls more and more entries too old")

    async def _push_entries(self, request: RecordRequest, indexes: Sequence[int]) -> None:
        """Push these entries of the request; learn from the answer if they are too old."""
        if not indexes:
            return
        records = [request.records[index] for index in indexes]
        elements = [request.elements[index] for index in indexes]
        response = await self._push(await asyncio.to_thread(self._body, records, elements))
        try:
            await asyncio.to_thread(raise_for_response, response, self._endpoint.where)
        except Rejected:
            self._cutoffs.learn(response.text, records)
            raise

    async def _push(self, content: bytes) -> HttpResponse:
        return await self._endpoint.request(
            "POST", self._headers, content, body_limit_bytes=BODY_LIMIT_BYTES
        )

    def _body(self, records: Sequence[Record], elements: Sequence[bytes]) -> bytes:
        by_dialect: dict[str, list[bytes]] = {}
        for record, entry in zip(records, elements, strict=True):
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
