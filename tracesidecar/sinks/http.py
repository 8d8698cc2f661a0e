"""The HTTP sink: one POST a batch, with an idempotency key, to a server that answers 2xx when it has the records."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Literal, Self, cast

import msgspec

from tracesidecar.encode.jsonl import decode_lines, encode_lines
from tracesidecar.errors import RetryLater
from tracesidecar.model import Batch, Payload
from tracesidecar.sinks.http_answers import judge
from tracesidecar.sinks.http_auth import Signature
from tracesidecar.sinks.http_endpoint import Endpoint, EndpointOptions, without_query
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.units import Secret


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `http`.

    `body` is newline-delimited JSON as it stands, or one JSON array. `probe` makes a HEAD request at start: it proves the way, and an
    answer of 401 stops the start.
    """

    body: Literal["lines", "array"] = "lines"
    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    signature: Signature | None = None
    probe: bool = True


def build(options: SinkOptions) -> HttpSink:
    """Make the sink; the session is opened on entry."""
    return HttpSink(cast("Options", options))


def destination(options: SinkOptions) -> str:
    """Name the address without its query."""
    return f"http:{without_query(cast('Options', options).url)}"


class HttpSink:
    """Delivers at least once: a repeat has the same `Idempotency-Key`, by which the server can tell."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._endpoint = Endpoint(options, options.signature)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._endpoint)
            await self._prove_way()
            stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._endpoint.__aexit__(kind, error, trace)

    async def send(self, batch: Batch) -> None:
        """Make one POST."""
        (payload,) = batch.objects
        content = payload.content if self._options.body == "lines" else await asyncio.to_thread(_as_array, payload)
        signature = await self._endpoint.credentials.signature(batch.id, content)
        answer = await self._endpoint.request("POST", self._headers(payload) | {"Idempotency-Key": batch.id} | signature, content)
        judge(answer.status, answer.retry_after, self._endpoint.where)

    async def _prove_way(self) -> None:
        await self._endpoint.credentials.headers()
        if not self._options.probe:
            return
        answer = await self._endpoint.request("HEAD", self._options.headers)
        if answer.status == 401 and self._options.signature is None:
            advice = "mend auth; or, if it refuses only HEAD, set probe = false"
            raise RetryLater("credentials", f"{self._endpoint.where} answered 401 Unauthorized: {advice}")

    def _headers(self, payload: Payload) -> dict[str, str]:
        is_array = self._options.body == "array"
        headers = {**self._options.headers, "Content-Type": "application/json" if is_array else payload.media_type}
        if payload.compression != "none":
            headers["Content-Encoding"] = payload.compression
        return headers


def _as_array(payload: Payload) -> bytes:
    lines = decode_lines(payload.content, payload.compression).removesuffix(b"\n")
    return encode_lines(b"[" + lines.replace(b"\n", b",\n") + b"]", payload.compression)
