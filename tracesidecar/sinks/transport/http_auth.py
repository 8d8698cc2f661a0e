"""Authentication over HTTP.

The ways are bearer, basic, header and OAuth2 client credentials, and the Standard Webhooks
signature.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote_plus, urlencode

import msgspec

from tracesidecar.errors import RetryLater
from tracesidecar.sinks.transport.http_responses import NOT_JSON, HttpResponse
from tracesidecar.sinks.transport.secret_files import (
    read_secret_file,
    require_one_line,
    require_one_source,
)
from tracesidecar.units import Secret

RENEW_BEFORE_SECONDS = 60.0
"""A token is replaced this long before it expires, so that it does not expire on the way."""

PostForm = Callable[[str, bytes, dict[str, str]], Awaitable[HttpResponse]]
"""Posts a form to a URL and returns the response, with the beginning of its body."""


class _Auth(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"
):
    """One kind of authentication; the key `type` names it."""


class Bearer(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="bearer"):
    """`Authorization: Bearer …`, or another `scheme` for destinations that use one (`ApiKey`)."""

    token: Secret | None = None
    token_file: str | None = None
    scheme: str = "Bearer"

    def __post_init__(self) -> None:
        require_one_source("token", self.token, self.token_file)
        if not (self.scheme.isascii() and self.scheme.isalnum()):
            raise ValueError("scheme is not one word, such as Bearer or ApiKey")


class Basic(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="basic"):
    """`Authorization: Basic …` (RFC 7617, UTF-8)."""

    username: str
    password: Secret | None = None
    password_file: str | None = None

    def __post_init__(self) -> None:
        require_one_source("password", self.password, self.password_file)


class Header(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="header"):
    """A credential in a header that the destination defines."""

    name: str
    value: Secret | None = None
    value_file: str | None = None

    def __post_init__(self) -> None:
        require_one_source("value", self.value, self.value_file)


class OAuth2(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="oauth2"):
    """A bearer token by client credentials (RFC 6749, 4.4).

    The client authenticates with HTTP Basic, which every server must support (2.3.1).
    """

    token_url: str
    client_id: str
    client_secret: Secret | None = None
    client_secret_file: str | None = None
    scope: str = ""
    audience: str = ""

    def __post_init__(self) -> None:
        require_one_source("client_secret", self.client_secret, self.client_secret_file)


Auth = Bearer | Basic | Header | OAuth2


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An HMAC-SHA256 over the body as it is sent (standardwebhooks.com, 1.0.0).

    The secret is base64, with or without the prefix `whsec_`.
    """

    secret: Secret | None = None
    secret_file: str | None = None

    def __post_init__(self) -> None:
        require_one_source("secret", self.secret, self.secret_file)


class Credentials:
    """Makes the authentication headers of requests.

    Secrets from files and fetched tokens are kept until they expire or `forget` is called.
    """

    def __init__(self, auth: Auth | None, signature: Signature | None, post_form: PostForm) -> None:
        self._auth = auth
        self._signature = signature
        self._post_form = post_form
        self._headers: dict[str, str] | None = None
        self._valid_until = float("inf")
        self._signing_key: bytes | None = None

    def forget(self) -> None:
        """Read files and fetch tokens again for the next request, after a rejection."""
        self._headers = self._signing_key = None

    async def headers(self) -> dict[str, str]:
        """Return the authentication headers; raise RetryLater if they cannot be made now."""
        if self._headers is None or time.monotonic() >= self._valid_until:
            self._headers, self._valid_until = None, float("inf")
            self._headers = await self._make()
        return self._headers

    async def signature(self, message_id: str, body: bytes) -> dict[str, str]:
        """Return the `webhook-…` headers for a body; none if no signature is configured."""
        if self._signature is None:
            return {}
        if self._signing_key is None:
            self._signing_key = _decode_key(
                await _load_secret("secret", self._signature.secret, self._signature.secret_file)
            )
        timestamp = str(int(time.time()))
        digest = hmac.new(
            self._signing_key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256
        ).digest()
        signature = f"v1,{base64.b64encode(digest).decode()}"
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature,
        }

    async def _make(self) -> dict[str, str]:
        match self._auth:
            case None:
                return {}
            case Bearer(token=token, token_file=file, scheme=scheme):
                return {"Authorization": f"{scheme} {await _load_secret('token', token, file)}"}
            case Basic(username=name, password=password, password_file=file):
                return {
                    "Authorization": _basic(name, await _load_secret("password", password, file))
                }
            case Header(name=name, value=value, value_file=file):
                return {name: await _load_secret("value", value, file)}
            case OAuth2() as client:
                return {"Authorization": f"Bearer {await self._fetch_token(client)}"}

    async def _fetch_token(self, client: OAuth2) -> str:
        secret = await _load_secret(
            "client_secret", client.client_secret, client.client_secret_file
        )
        form = {
            "grant_type": "client_credentials",
            "scope": client.scope,
            "audience": client.audience,
        }
        encoded = urlencode({key: value for key, value in form.items() if value}).encode()
        basic = _basic(quote_plus(client.client_id), quote_plus(secret))
        response = await self._post_form(client.token_url, encoded, {"Authorization": basic})
        token = await asyncio.to_thread(_parse_token, response)
        if token.expires_in is not None:
            self._valid_until = time.monotonic() + max(token.expires_in - RENEW_BEFORE_SECONDS, 0.0)
        return token.access_token


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float | None = None


def _parse_token(response: HttpResponse) -> _Token:
    if response.status != 200:
        raise RetryLater(
            "credentials",
            f"the token endpoint answered {response.status}; "
            "check token_url, client_id and client_secret of auth",
        )
    try:
        # not strict: Azure AD's v1 endpoint writes expires_in as text
        token = msgspec.json.decode(response.body, type=_Token, strict=False)
    except NOT_JSON:  # not chained: its message may quote the response
        raise RetryLater(
            "credentials",
            f"{response.describe_with_body('the token endpoint')}: "
            "the response holds no access_token; check auth.token_url",
        ) from None
    if not token.access_token or not token.access_token.isprintable():
        raise RetryLater(
            "credentials",
            "the token endpoint's access_token is not one line of text; check auth.token_url",
        )
    return token


async def _load_secret(key: str, value: Secret | None, file: str | None) -> str:
    if file is None:
        return require_one_line(key, str(value or ""))
    return await asyncio.to_thread(read_secret_file, key, file)


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def _decode_key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise RetryLater(
            "credentials",
            "signature.secret is not base64; copy it as the destination shows it (whsec_…)",
        ) from None
