"""The HTTP sink: one POST a batch, with an idempotency key, to a server that answers 2xx when it has the records."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Literal, Self, cast

import msgspec
from yarl import URL

from tracesidecar.encode.jsonl import decode_lines, encode_lines
from tracesidecar.errors import RetryLater
from tracesidecar.model import Batch, Payload
from tracesidecar.sinks.http_answers import CREDENTIALS_REFUSED, judge
from tracesidecar.sinks.http_auth import Auth, Credentials, Signature
from tracesidecar.sinks.http_client import HttpClient
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.tls import TlsOptions
from tracesidecar.units import Seconds, Secret

TOKEN_ANSWER_BYTES = 64 << 10


class Options(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `http`.

    `body` is newline-delimited JSON as it stands, or one JSON array. `probe` makes a HEAD request at start: it proves the way, and an
    answer of 401 stops the start. `timeout` is for one whole attempt, `connect_timeout` for name, connection and TLS handshake.
    """

    url: str
    body: Literal["lines", "array"] = "lines"
    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    auth: Auth | None = None
    signature: Signature | None = None
    tls: TlsOptions = msgspec.field(default_factory=TlsOptions)
    timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("60s"))
    connect_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))
    probe: bool = True

    def __post_init__(self) -> None:
        try:
            url = URL(self.url)
            is_usable = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
        except ValueError:
            is_usable = False
        if not is_usable:
            raise ValueError("url is not an address of the form https://host[:port]/path")
        if url.user is not None or url.password is not None:
            raise ValueError('url must not hold credentials; use auth = { type = "basic", … }')


def build(options: SinkOptions) -> HttpSink:
    """Make the sink; the session is opened on entry."""
    return HttpSink(cast("Options", options))


def destination(options: SinkOptions) -> str:
    """Name the address without its query, which may hold a token."""
    return f"http:{URL(cast('Options', options).url).with_query(None).with_fragment(None)}"


class HttpSink:
    """Delivers at least once: a repeat has the same `Idempotency-Key`, by which the server can tell."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._url = URL(options.url)
        self._where = str(self._url.origin())
        self._client = HttpClient(options.tls, timeout_seconds=options.timeout, connect_timeout_seconds=options.connect_timeout)
        self._credentials = Credentials(options.auth, options.signature, self._post_form)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._client)
            await self._prove_way()
            stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def send(self, batch: Batch) -> None:
        """Make one POST."""
        (payload,) = batch.objects
        content = payload.content if self._options.body == "lines" else await asyncio.to_thread(_as_array, payload)
        headers = self._headers(payload) | {"Idempotency-Key": batch.id} | await self._credentials.signature(batch.id, content)
        headers |= await self._credentials.headers()
        answer = await self._client.request("POST", self._url, headers, content, where=self._where)
        if answer.status in CREDENTIALS_REFUSED:
            self._credentials.forget()
        judge(answer.status, answer.retry_after, self._where)

    async def _prove_way(self) -> None:
        headers = await self._credentials.headers()
        if not self._options.probe:
            return
        answer = await self._client.request("HEAD", self._url, headers, None, where=self._where)
        if answer.status == 401 and self._options.signature is None:
            self._credentials.forget()
            advice = "mend auth; or, if it refuses only HEAD, set probe = false"
            raise RetryLater("credentials", f"{self._where} answered 401 Unauthorized: {advice}")

    def _headers(self, payload: Payload) -> dict[str, str]:
        is_array = self._options.body == "array"
        headers = {**self._options.headers, "Content-Type": "application/json" if is_array else payload.media_type}
        if payload.compression != "none":
            headers["Content-Encoding"] = payload.compression
        return headers

    async def _post_form(self, url: str, form: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        where = "the token endpoint"
        answer = await self._client.request("POST", URL(url), headers, form, where=where, answer_bytes=TOKEN_ANSWER_BYTES, is_elsewhere=True)
        return answer.status, answer.body


def _as_array(payload: Payload) -> bytes:
    lines = decode_lines(payload.content, payload.compression).removesuffix(b"\n")
    return encode_lines(b"[" + lines.replace(b"\n", b",\n") + b"]", payload.compression)
