"""The HTTP sink: one POST a batch, with an idempotency key, to a server that answers 2xx when it has the records."""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from types import TracebackType
from typing import Literal, Self, cast

import aiohttp
import msgspec
import structlog
from yarl import URL

import tracesidecar
from tracesidecar.encode.jsonl import decode_lines, encode_lines
from tracesidecar.errors import RetryLater
from tracesidecar.model import Batch, Payload
from tracesidecar.sinks.http_answers import CREDENTIALS_REFUSED, failure, judge
from tracesidecar.sinks.http_auth import Auth, Credentials, Signature
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.tls import ClientContext, TlsOptions
from tracesidecar.units import Seconds, Secret

log = structlog.get_logger(__name__)

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
        self._tls = ClientContext(options.tls)
        self._credentials = Credentials(options.auth, options.signature, self._post_form)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        if not self._options.tls.verify:
            log.warning("sink.tls_unverified", destination=self._where, meaning="anyone on the way can read and answer; set tls.verify")
        self._session = self._open_session()
        try:
            await self._prove_way()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._close()

    async def send(self, batch: Batch) -> None:
        """Make one POST and await its end, so that no second one is under way beside it."""
        (payload,) = batch.objects
        content = payload.content if self._options.body == "lines" else await asyncio.to_thread(_as_array, payload)
        headers = self._headers(payload) | {"Idempotency-Key": batch.id} | await self._credentials.signature(batch.id, content)
        status, retry_after_header = await self._request("POST", headers | await self._credentials.headers(), content)
        if status in CREDENTIALS_REFUSED:
            self._credentials.forget()
        judge(status, retry_after_header, self._where)

    async def _prove_way(self) -> None:
        headers = await self._credentials.headers()
        if not self._options.probe:
            return
        status, _ = await self._request("HEAD", headers, None)
        if status == 401 and self._options.signature is None:
            self._credentials.forget()
            advice = "mend auth; or, if it refuses only HEAD, set probe = false"
            raise RetryLater("credentials", f"{self._where} answered 401 Unauthorized: {advice}")

    def _headers(self, payload: Payload) -> dict[str, str]:
        is_array = self._options.body == "array"
        headers = {**self._options.headers, "Content-Type": "application/json" if is_array else payload.media_type}
        if payload.compression != "none":
            headers["Content-Encoding"] = payload.compression
        return headers

    async def _request(self, method: str, headers: dict[str, str], content: bytes | None) -> tuple[int, str | None]:
        try:
            async with await self._start(method, self._url, headers, content, self._options.tls.server_hostname) as response:
                return response.status, response.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise failure(error, self._where) from error

    async def _post_form(self, url: str, form: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        try:
            async with await self._start("POST", URL(url), headers, form, None) as response:
                return response.status, await response.content.read(TOKEN_ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise failure(error, "the token endpoint") from error

    async def _start(self, method: str, url: URL, headers: dict[str, str], content: bytes | None, server_hostname: str | None) -> aiohttp.ClientResponse:
        context = await self._context() if url.scheme == "https" else True
        return await self._entered().request(
            method,
            url,
            data=content,
            headers=headers,
            allow_redirects=False,
            ssl=context,
            server_hostname=server_hostname,
            proxy=_proxy(url),
        )

    async def _context(self) -> ssl.SSLContext:
        try:
            return await asyncio.to_thread(self._tls.current)
        except OSError as error:
            file = f" {error.filename}" if error.filename else ""
            raise RetryLater("tls", f"a file of tls{file} cannot be used: {error.strerror}; mend ca_file, cert_file, key_file") from error

    def _open_session(self) -> aiohttp.ClientSession:
        options = self._options
        return aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=options.timeout, connect=options.connect_timeout),
            headers={"User-Agent": f"tracesidecar/{tracesidecar.__version__}"},
        )

    def _entered(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the sink is used outside of its async with")
        return self._session

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _as_array(payload: Payload) -> bytes:
    lines = decode_lines(payload.content, payload.compression).removesuffix(b"\n")
    return encode_lines(b"[" + lines.replace(b"\n", b",\n") + b"]", payload.compression)


def _proxy(url: URL) -> str | None:
    """Find the proxy in the environment. aiohttp's own way would also send what it finds in ~/.netrc."""
    if urllib.request.proxy_bypass(url.host or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)
