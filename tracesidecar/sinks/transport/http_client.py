"""An HTTP client for sinks.

It makes one attempt for each request, with time-outs, TLS files that may change, and the
environment's proxy.

The only module that imports aiohttp.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from yarl import URL

import tracesidecar
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.transport.environment_proxy import find_proxy
from tracesidecar.sinks.transport.http_responses import (
    HttpRequest,
    HttpResponse,
    status_phrase,
)
from tracesidecar.sinks.transport.tls import (
    ClientContext,
    TlsOptions,
    tls_advice,
    tls_failure,
    warn_if_unverified,
)

log = structlog.get_logger()


class HttpClient:
    """A pool of connections.

    It follows no redirects, keeps no cookies, and never repeats a request by itself.
    """

    def __init__(
        self,
        tls: TlsOptions,
        *,
        where: str,
        timeout_seconds: float,
        connect_timeout_seconds: float,
    ) -> None:
        """`where` names the destination in messages.

        `timeout_seconds` covers one whole request, `connect_timeout_seconds` name
        resolution, connection and TLS handshake.
        """
        self._options = tls
        self._where = where
        self._context = ClientContext(tls)
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_seconds, connect=connect_timeout_seconds
        )
        self._session: aiohttp.ClientSession | None = None
        self._announced_proxy: URL | None = None

    async def __aenter__(self) -> Self:
        warn_if_unverified(self._options, self._where)
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            headers={
                "User-Agent": f"tracesidecar/{tracesidecar.__version__}",
                "Accept-Encoding": "gzip",
            },
            auto_decompress=False,  # it would unpack a bomb whole
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
        body_limit_bytes: int = 0,
        other_server: str | None = None,
    ) -> HttpResponse:
        """Make one request and return the response; raise RetryLater if there is none.

        At most `body_limit_bytes` of the response's body are read. `other_server` names a server
        that is not the destination, such as a token endpoint: `tls.server_hostname` does not
        apply to it, and errors name it.
        """
        if self._session is None:
            raise RuntimeError("the sink is used outside of its async with")
        proxy = _proxy(url, other_server or self._where)
        self._announce(proxy)
        try:
            async with self._session.request(
                method,
                url,
                data=content,
                headers=headers,
                allow_redirects=False,
                ssl=await self._context.load() if url.scheme == "https" else True,
                server_hostname=None if other_server else self._options.server_hostname,
                proxy=proxy,
            ) as response:
                body, is_whole = await _read(response, body_limit_bytes)
                return HttpResponse(
                    response.status,
                    response.headers,
                    body,
                    HttpRequest(
                        str(url),
                        {**headers, "Proxy": str(proxy or "")},
                        () if content is None else (content,),
                    ),
                    is_whole,
                )
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
            raise _no_response(error, other_server or self._where) from error

    def _announce(self, proxy: URL | None) -> None:
        """Log once that a proxy is used: whoever set the variable may not have meant this process.

        Its credentials are not shown.
        """
        if proxy is None or proxy == self._announced_proxy:
            return
        self._announced_proxy = proxy
        log.info(
            "sink.proxy",
            destination=self._where,
            proxy=f"{proxy.host}:{proxy.port}",
            meaning="the environment names it; NO_PROXY excepts destinations",
        )


def _no_response(error: Exception, where: str) -> RetryLater:
    """Make the error for a request without a response.

    The library's own text is left out: it may quote the URL, whose query may hold a token.
    """
    if isinstance(error, TimeoutError):
        return RetryLater(
            "timeout",
            f"{where} did not answer in time; it may have stored the batch, which keeps its id",
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return RetryLater(
            "proxy",
            f"the proxy in front of {where} answered {error.status} {status_phrase(error.status)}; "
            "check HTTPS_PROXY",
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return RetryLater(
            "proxy",
            f"the proxy in front of {where} cannot be reached: {_system_message(error)}; "
            "check HTTPS_PROXY",
        )
    # UnicodeError: a label of more than 63 characters, or none between two dots
    if isinstance(error, aiohttp.ClientConnectorDNSError | UnicodeError):
        return RetryLater(
            "dns", f"the name of {where} could not be resolved; check url and the resolver"
        )
    if (failure := tls_failure(error)) is not None:
        return RetryLater("tls", f"TLS with {where} failed: {failure}; {tls_advice(failure)}")
    return RetryLater(
        "network",
        f"the connection to {where} failed: {_system_message(error)}; "
        "check url, and whether the server is up",
    )


def _system_message(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else type(error).__name__


_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""How zlib is asked for a content coding; a proxy may choose one that was not offered."""


async def _read(response: aiohttp.ClientResponse, limit_bytes: int) -> tuple[bytes, bool]:
    """Return at most so many bytes of the body, unpacked, and whether that is all of it.

    What cannot be unpacked is returned as it came.
    """
    body = b""
    while len(body) <= limit_bytes and (
        block := await response.content.read(limit_bytes + 1 - len(body))
    ):
        body += block
    is_whole = len(body) <= limit_bytes
    codings = ",".join(response.headers.getall("Content-Encoding", ())).lower().split(",")
    for coding in reversed(codings):
        if (window := _WINDOW_BITS.get(coding.strip())) is None:
            continue
        unpacker = zlib.decompressobj(wbits=window)
        with suppress(zlib.error):
            body = unpacker.decompress(body, limit_bytes + 1)
            is_whole = is_whole and unpacker.eof and len(body) <= limit_bytes
    return body[:limit_bytes], is_whole


def _proxy(url: URL, where: str) -> URL | None:
    """Return the proxy that the environment names for the URL; raise RetryLater if it is no URL.

    aiohttp's `trust_env` is not used, because it also sends credentials from ~/.netrc.
    """
    if (given := find_proxy(url.scheme, url.host or "")) is None:
        return None
    with suppress(ValueError):
        if (proxy := URL(given)).host and proxy.scheme in {"http", "https"}:
            return proxy
    raise RetryLater(  # its text is left out: it may hold a password
        "proxy",
        f"the proxy that the environment names for {where} does not have the form "
        f"http://host:port; correct {url.scheme.upper()}_PROXY",
    )
