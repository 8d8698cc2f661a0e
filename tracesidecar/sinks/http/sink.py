"""The HTTP sink: a POST a batch, or as many as the limits ask for, each with an idempotency key, to
a server that answers 2xx when it has the records.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from tracesidecar.encode.jsonl import decode_lines, encode_lines
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch, Compression, Payload, Record
from tracesidecar.sinks.http.options import Options
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport.http_endpoint import Endpoint, without_query
from tracesidecar.sinks.transport.http_responses import judge, judge_as
from tracesidecar.sinks.transport.request_splitter import Limits, Request, Requests, idempotency_key

__all__ = ["SINK_TYPE", "Options", "build"]

ARRAY_OVERHEAD_BYTES = 2
UNLIMITED = 1 << 62

_PROOFS_FAILED = {
    401: ("credentials", "mend auth; or, if it refuses only HEAD, set probe = false"),
    407: ("proxy", "the proxy wants credentials: mend HTTP_PROXY"),
}


def build(options: Options) -> HttpSink:
    """Make the sink; the session is opened on entry."""
    return HttpSink(options)


def destination(options: Options) -> str:
    """Name the address without its query."""
    return f"http:{without_query(options.url)}"


def record_limit(options: Options) -> int:
    """Say how long a record may be, so that a request that has it alone is within `max_bytes`."""
    limit = options.max_bytes
    return 0 if limit is None else limit - ARRAY_OVERHEAD_BYTES


class HttpSink:
    """Delivers at least once: a repeat has the same `Idempotency-Key`, by which the server can
    tell.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._endpoint = Endpoint(options, options.signature)
        self._is_array = options.body == "array"
        self._limit_bytes = options.max_bytes or UNLIMITED
        self._limit_records = options.max_records or UNLIMITED
        self._requests = Requests(Limits(self._limit_records, self._limit_bytes), self._element)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._endpoint)
            await self._prove_way()
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
        """Make one POST, or one for each part of it that the limits allow; what is stored of a
        batch is not sent again.
        """
        (payload,) = batch.objects
        if self._options.max_bytes is None and payload.records <= self._limit_records:
            content = (
                await asyncio.to_thread(_as_array, payload) if self._is_array else payload.content
            )
            await self._post(batch.id, content, payload.compression)
        else:
            batch = await asyncio.to_thread(_with_records, batch)
            await self._requests.send(batch, partial(self._post_part, batch))

    async def _post_part(self, batch: Batch, request: Request) -> None:
        content = b"\n".join(request.elements)
        content = b"[" + content.removesuffix(b",") + b"]" if self._is_array else content + b"\n"
        if len(content) > self._limit_bytes:
            raise Rejected(
                "too_large", f"a record by itself is longer than max_bytes ({self._limit_bytes} B)"
            )
        compression = batch.objects[0].compression
        await self._post(
            idempotency_key(batch, request),
            await asyncio.to_thread(encode_lines, content, compression),
            compression,
        )

    async def _post(self, key: str, content: bytes, compression: Compression) -> None:
        signature = await self._endpoint.credentials.signature(key, content)
        headers = self._options.said_of_content(compression) | {"Idempotency-Key": key} | signature
        answer = await self._endpoint.request("POST", headers, content)
        verdict = self._options.status.get(str(answer.status))
        if verdict is None:
            judge(answer.status, answer.retry_after, self._endpoint.where)
        else:
            judge_as(verdict, answer.status, answer.retry_after, self._endpoint.where)

    async def _prove_way(self) -> None:
        await self._endpoint.credentials.headers()
        if not self._options.probe:
            return
        answer = await self._endpoint.request("HEAD", self._options.headers)
        if answer.status in _PROOFS_FAILED and self._options.signature is None:
            reason, advice = _PROOFS_FAILED[answer.status]
            raise RetryLater(reason, f"{self._endpoint.where} answered {answer.status}: {advice}")

    def _element(self, record: Record) -> bytes:
        return record.body + b"," if self._is_array else record.body


def _with_records(batch: Batch) -> Batch:
    """The batch with its lines one by one, which is all that is known of them."""
    (payload,) = batch.objects
    lines = decode_lines(payload.content, payload.compression).split(b"\n")[:-1]
    return replace(
        batch, records=tuple(Record(line, "", "", "", "", "", "", None, None) for line in lines)
    )


def _as_array(payload: Payload) -> bytes:
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
