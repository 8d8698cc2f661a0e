"""Requests over HTTP as every sink makes them: one attempt, time-outs, TLS with files that are read
again, the proxy of the environment.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
import structlog
from yarl import URL

import tracesidecar
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.transport.http_responses import failure
from tracesidecar.sinks.transport.tls import ClientContext, TlsOptions

log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """What the server said; `body` is as much of it as was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> str | None:
        """The header of that name."""
        return self.headers.get("Retry-After")


class HttpClient:
    """A pool of connections.

    Redirects are not followed and cookies not kept; nothing is tried twice.
    """

    def __init__(
        self, tls: TlsOptions, *, timeout_seconds: float, connect_timeout_seconds: float
    ) -> None:
        """`timeout_seconds` is for one whole request, `connect_timeout_seconds` for name,
        connection and TLS handshake.
        """
        self._options = tls
        self._tls = ClientContext(tls)
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_seconds, connect=connect_timeout_seconds
        )
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        if not self._options.verify:
            log.warning(
                "sink.tls_unverified",
                meaning="anyone on the way can read and answer; set tls.verify",
            )
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            headers={"User-Agent": f"tracesidecar/{tracesidecar.__version__}"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        content: bytes | None,
        *,
        where: str,
        answer_bytes: int = 0,
        is_elsewhere: bool = False,
    ) -> Answer:
        """Make one request and await its end, so that no second one is under way beside it.

        `where` names the destination in errors. `is_elsewhere`: it is not the destination, so
        `tls.server_hostname` does not count. Raises RetryLater where there is no answer.
        """
        if self._session is None:
            raise RuntimeError("the sink is used outside of its async with")
        try:
            async with self._session.request(
                method,
                url,
                data=content,
                headers=headers,
                allow_redirects=False,
                ssl=await self._context() if url.scheme == "https" else True,
                server_hostname=None if is_elsewhere else self._options.server_hostname,
                proxy=_proxy(url),
            ) as response:
                return Answer(
                    response.status,
                    response.headers,
                    await _beginning(response.content, answer_bytes),
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise failure(error, where) from error

    async def _context(self) -> ssl.SSLContext:
        try:
            return await asyncio.to_thread(self._tls.current)
        except OSError as error:
            file = f" {error.filename}" if error.filename else ""
            raise RetryLater(
                "tls",
                f"a file of tls{file} cannot be used: {error.strerror}; mend ca_file, cert_file, key_file",
            ) from error


async def _beginning(stream: aiohttp.StreamReader, count: int) -> bytes:
    """At most so many bytes of an answer."""
    body = b""
    while len(body) < count and (part := await stream.read(count - len(body))):
        body += part
    return body


def _proxy(url: URL) -> str | None:
    """Find the proxy in the environment. aiohttp's own way would also send what it finds in
    ~/.netrc.
    """
    if urllib.request.proxy_bypass(url.host or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)
