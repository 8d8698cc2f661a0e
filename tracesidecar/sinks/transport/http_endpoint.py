"""An HTTP server that takes batches: its address, our credentials there, and its time-outs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

import msgspec
from yarl import URL

from tracesidecar.model import Compression
from tracesidecar.sanitize import redact_path
from tracesidecar.sinks.exposure import ClearText
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.transport.environment_proxy import list_clear_proxies
from tracesidecar.sinks.transport.http_auth import (
    Auth,
    Credentials,
    Header,
    OAuth2,
    Signature,
)
from tracesidecar.sinks.transport.http_client import HttpClient
from tracesidecar.sinks.transport.http_responses import CREDENTIALS_REJECTED, HttpResponse
from tracesidecar.sinks.transport.tls import TlsOptions, is_unverified
from tracesidecar.units import Interpolated, Origin, Seconds

_NO_CREDENTIALS = frozenset(
    {"accept", "accept-language", "content-language", "content-type", "user-agent", "x-scope-orgid"}
)

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_AUTHORITY = re.compile(r"[^:/?#]*://[^/?#]*")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_CREDENTIAL_WORDS = frozenset(
    {
        *("auth", "authorization", "code", "credential", "credentials", "jwt", "pass", "pwd"),
        *("sas", "session", "sig", "signature"),
    }
)
_CREDENTIAL_ENDS = ("key", "password", "secret", "token")
_LONG_RUN = re.compile(r"[A-Za-z0-9]{20,}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_OWN_HEADERS = frozenset(
    {"content-encoding", "content-length", "transfer-encoding", "idempotency-key"}
)

TOKEN_RESPONSE_LIMIT_BYTES = 64 << 10


class EndpointOptions(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The options that every HTTP sink has.

    `timeout` covers one whole attempt, `connect_timeout` name resolution, connection and TLS
    handshake.
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
        if isinstance(self.auth, Header):
            check_headers({self.auth.name: self.auth.value or ""})

    @property
    def trusts_any_server(self) -> bool:
        """Whether TLS is used, and the server's certificate is not verified."""
        return is_unverified(self.tls)

    def list_clear_text(self) -> tuple[ClearText, ...]:
        """Return what goes to the server, and to the one that gives tokens, without TLS."""
        found = []
        if _is_clear(self.url) and self.has_credentials:
            found.append(ClearText("url", URL(self.url).host or "", has_credentials=True))
        if isinstance(self.auth, OAuth2) and _is_clear(self.auth.token_url):
            host = URL(self.auth.token_url).host or ""
            found.append(ClearText("auth", host, has_credentials=True))
        return (*found, *self._list_clear_proxies())

    def _list_clear_proxies(self) -> Iterator[ClearText]:
        addresses = {"url": self.url}
        if isinstance(self.auth, OAuth2):
            addresses["auth"] = self.auth.token_url
        for key, address in addresses.items():
            url = URL(address)
            yield from list_clear_proxies(key, url.scheme, url.host or "")

    @property
    def has_credentials(self) -> bool:
        """Whether requests have credentials, in a header or in the address."""
        return self.auth is not None or _has_credentials_in_path(self.url)


class Endpoint:
    """Makes requests to one server with our credentials.

    If the server rejects the credentials, they are read again for the next request.
    """

    def __init__(
        self,
        options: EndpointOptions,
        signature: Signature | None = None,
        *,
        auth: Auth | None = None,
    ) -> None:
        """`auth` replaces that of the options, for destinations with their own kind of token."""
        self.url = URL(options.url)
        self.where = str(self.url.origin())
        self.credentials = Credentials(auth or options.auth, signature, self._post_form)
        self._client = HttpClient(
            options.tls,
            where=self.where,
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
        body_limit_bytes: int = 0,
    ) -> HttpResponse:
        """Make one request, to the endpoint itself or to another `url` on the same server.

        Return the response, whatever its status, with at most `body_limit_bytes` of its body.
        Raise RetryLater if there is no response.
        """
        headers = {**headers, **await self.credentials.headers()}
        response = await self._client.request(
            method, url or self.url, headers, content, body_limit_bytes=body_limit_bytes
        )
        if response.status in CREDENTIALS_REJECTED:
            self.credentials.forget()
        return response

    async def _post_form(self, url: str, form: bytes, headers: dict[str, str]) -> HttpResponse:
        return await self._client.request(
            "POST",
            URL(url),
            {
                **headers,
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            form,
            body_limit_bytes=TOKEN_RESPONSE_LIMIT_BYTES,
            other_server="the token endpoint",
        )


def carries_credentials(headers: Mapping[str, str]) -> bool:
    """Return whether a header of a request may be a credential.

    All may but a few, and these too with a value from the environment or a file.
    """
    return any(
        name.lower() not in _NO_CREDENTIALS or (isinstance(value, Interpolated) and value.origins)
        for name, value in headers.items()
    )


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ValueError for headers that no request can have, or that the sink sets itself."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("headers has a name that no header can have")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"headers has {name}, which the sink sets itself")
        if not value.isprintable():
            raise ValueError(f"headers has a value for {name} that is not one line of text")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("headers has one name twice: upper and lower case are the same there")


def _is_clear(url: str) -> bool:
    return URL(url).scheme == "http"


def _has_credentials_in_path(url: str) -> bool:
    """Return whether path or query may have a credential: the token of a webhook, say.

    A value from the environment or a file counts as one, also if it is the whole address and has a
    path. So does what looks like one where the configuration has it in clear.
    """
    authority = _AUTHORITY.match(url)
    begin = authority.end() if authority else 0
    if not url[begin:].strip("/"):
        return False
    if isinstance(url, Interpolated):
        at = 0
        for piece in url.pieces:
            text = piece.value if isinstance(piece, Origin) else piece
            at += len(text)
            if isinstance(piece, Origin) and text and at > begin + 1:
                return True
    query = URL(url).query
    return (
        any(map(_names_credential, query))
        or any(map(_looks_random, (*URL(url).parts, *query.values())))
        or redact_path(url) != url
    )


def _names_credential(name: str) -> bool:
    """Return whether a parameter of a query is a credential by its name: `code`, `Api-Key`."""
    words = [word.lower() for word in _WORD.findall(name)]
    return any(word in _CREDENTIAL_WORDS or word.endswith(_CREDENTIAL_ENDS) for word in words)


def _looks_random(part: str) -> bool:
    """Return whether a part of an address is one that nobody would give as a name."""
    return any(
        re.search("[0-9]", run) and re.search("[A-Za-z]", run) for run in _LONG_RUN.findall(part)
    )


def without_query(url: str) -> str:
    """Return an address that people may see: without its query, which may hold a token."""
    return str(URL(url).with_query(None).with_fragment(None))


def content_headers(media_type: str, compression: Compression) -> dict[str, str]:
    """Return the headers that describe a body: its media type and its compression."""
    return {"Content-Type": media_type} | (
        {} if compression == "none" else {"Content-Encoding": compression}
    )
