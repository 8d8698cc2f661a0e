"""A server that is spoken to over HTTP: where it is, how we prove who we are there, how long it may
take.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import msgspec
from yarl import URL

from tracesidecar.model import Compression
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.transport.http_auth import Auth, Credentials, Signature
from tracesidecar.sinks.transport.http_client import Answer, HttpClient
from tracesidecar.sinks.transport.http_responses import CREDENTIALS_REFUSED
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds

TOKEN_ANSWER_BYTES = 64 << 10


class EndpointOptions(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every sink over HTTP has.

    `timeout` is for one whole attempt, `connect_timeout` for name, connection and TLS handshake.
    """

    url: str
    auth: Auth | None = None
    tls: TlsOptions = msgspec.field(default_factory=TlsOptions)
    timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("60s"))
    connect_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))

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


class Endpoint:
    """Makes requests there with our credentials, which are read again when they are refused."""

    def __init__(
        self,
        options: EndpointOptions,
        signature: Signature | None = None,
        *,
        auth: Auth | None = None,
    ) -> None:
        """`auth` stands for that of the options where the destination has a way of its own."""
        self.url = URL(options.url)
        self.where = str(self.url.origin())
        self.credentials = Credentials(auth or options.auth, signature, self._post_form)
        self._client = HttpClient(
            options.tls,
            timeout_seconds=options.timeout,
            connect_timeout_seconds=options.connect_timeout,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def request(
        self,
        method: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        *,
        url: URL | None = None,
        answer_bytes: int = 0,
    ) -> Answer:
        """Make one request, of the endpoint itself or of another `url` on the same server.

        Raises RetryLater where there is no answer.
        """
        headers = {**headers, **await self.credentials.headers()}
        answer = await self._client.request(
            method, url or self.url, headers, content, where=self.where, answer_bytes=answer_bytes
        )
        if answer.status in CREDENTIALS_REFUSED:
            self.credentials.forget()
        return answer

    async def _post_form(self, url: str, form: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        headers = {
            **headers,
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        where = "the token endpoint"
        answer = await self._client.request(
            "POST",
            URL(url),
            headers,
            form,
            where=where,
            answer_bytes=TOKEN_ANSWER_BYTES,
            is_elsewhere=True,
        )
        return answer.status, answer.body


def without_query(url: str) -> str:
    """Name an address for people: its query may hold a token."""
    return str(URL(url).with_query(None).with_fragment(None))


def content_headers(media_type: str, compression: Compression) -> dict[str, str]:
    """Say what a body is."""
    return {"Content-Type": media_type} | (
        {} if compression == "none" else {"Content-Encoding": compression}
    )
