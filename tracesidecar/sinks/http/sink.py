"""The HTTP sink.

It makes one POST for each batch, or several within the limits, each with an idempotency key. The
server answers 2xx once it has stored the records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from tracesidecar.encode import decode_lines, encode_lines
from tracesidecar.errors import Rejected, RetryAdvice, RetryLater
from tracesidecar.model import Batch, Compression, Payload, Record
from tracesidecar.sinks.http.options import Options
from tracesidecar.sinks.http.responses import BODY_LIMIT_BYTES, raise_for_response
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport import (
    RecordRequest,
    RequestLimits,
    RequestSplitter,
    idempotency_key,
)
from tracesidecar.sinks.transport.http_endpoint import Endpoint, without_query

ARRAY_OVERHEAD_BYTES = 2
UNLIMITED = 1 << 62

_PROBE_FAILURES: Mapping[int, RetryAdvice] = {
    401: ("credentials", "correct auth; if the server rejects only HEAD, set probe = false"),
    407: ("proxy", "the proxy asks for credentials; put them into HTTP_PROXY"),
}


def build(options: Options) -> HttpSink:
    """Make the sink; it opens its connections on entry."""
    return HttpSink(options)


def destination(options: Options) -> str:
    """Name the address without its query."""
    return f"http:{without_query(options.url)}"


def record_limit(options: Options) -> int:
    """Return the longest record with which a request of its own stays within `max_bytes`."""
    limit = options.max_bytes
    return 0 if limit is None else limit - ARRAY_OVERHEAD_BYTES


class HttpSink:
    """Delivers at least once.

    A repeat has the same `Idempotency-Key`, by which a server can detect it.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._endpoint = Endpoint(options, options.signature)
        self._is_array = options.body == "array"
        self._limit_bytes = options.max_bytes or UNLIMITED
        self._limit_records = options.max_records or UNLIMITED
        self._splitter = RequestSplitter(
            RequestLimits(self._limit_records, self._limit_bytes), self._encode
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._endpoint)
            await self._probe()
            stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._endpoint.__aexit__(kind, error, trace)

    async def send(self, batch: Batch) -> None:
        """Make one POST, or as many as the limits need; what is stored is not sent again."""
        (payload,) = batch.objects
        if self._options.max_bytes is None and payload.records <= self._limit_records:
            content = (
                await asyncio.to_thread(_to_array, payload) if self._is_array else payload.content
            )
            await self._post(batch.id, content, payload.compression)
        else:
            batch = await asyncio.to_thread(_split_into_records, batch)
            await self._splitter.send(batch, partial(self._post_records, batch))

    async def _post_records(self, batch: Batch, request: RecordRequest) -> None:
        content = b"\n".join(request.elements)
        content = b"[" + content.removesuffix(b",") + b"]" if self._is_array else content + b"\n"
        if len(content) > self._limit_bytes:
            raise Rejected(
                "too_large", f"a single record is longer than max_bytes ({self._limit_bytes} B)"
            )
        compression = batch.objects[0].compression
        await self._post(
            idempotency_key(batch, request),
            await asyncio.to_thread(encode_lines, content, compression),
            compression,
        )

    async def _post(self, key: str, content: bytes, compression: Compression) -> None:
        signature = await self._endpoint.credentials.signature(key, content)
        headers = self._options.body_headers(compression) | {"Idempotency-Key": key} | signature
        response = await self._endpoint.request(
            "POST", headers, content, body_limit_bytes=BODY_LIMIT_BYTES
        )
        await asyncio.to_thread(
            raise_for_response,
            response,
            self._endpoint.where,
            self._options.status,
            self._options.expect,
        )

    async def _probe(self) -> None:
        """Load the credentials and make a HEAD request.

        Many servers answer 404 or 405 to HEAD, so only 401 and 407 count; and neither does with a
        signature, because a HEAD request has no body to sign.
        """
        await self._endpoint.credentials.headers()
        if not self._options.probe:
            return
        response = await self._endpoint.request("HEAD", self._options.headers)
        if response.status in _PROBE_FAILURES and self._options.signature is None:
            reason, advice = _PROBE_FAILURES[response.status]
            raise RetryLater(reason, f"{response.describe(self._endpoint.where)} to HEAD: {advice}")

    def _encode(self, record: Record) -> bytes:
        return record.body + b"," if self._is_array else record.body


def _split_into_records(batch: Batch) -> Batch:
    """Return the batch with each line as a record, of which nothing but the line is known."""
    (payload,) = batch.objects
    lines = decode_lines(payload.content, payload.compression).split(b"\n")[:-1]
    return replace(
        batch, records=tuple(Record(line, "", "", "", "", "", "", None, None) for line in lines)
    )


def _to_array(payload: Payload) -> bytes:
    lines = decode_lines(payload.content, payload.compression).removesuffix(b"\n")
    return encode_lines(b"[" + lines.replace(b"\n", b",\n") + b"]", payload.compression)


SINK_TYPE = SinkType(
    name="http",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="body",
    promise="at least once",
    record_limit_of=record_limit,
)
