"""How the HTTP sink proves who it is: bearer, basic, header, OAuth2 client credentials, and the
Standard Webhooks signature.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote_plus, urlencode

import msgspec

from tracesidecar.errors import RetryLater
from tracesidecar.units import Secret

RENEW_BEFORE_SECONDS = 60.0
"""A token is replaced this long before it ends, so that it does not end on the way."""

PostForm = Callable[[str, bytes, dict[str, str]], Awaitable[tuple[int, bytes]]]
"""POST a form to a URL; return the status and the beginning of the body."""


class _Auth(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"
):
    def _needs_one_of(self, key: str, value: Secret | None, file: str | None) -> None:
        if (value is None) == (file is None):
            raise ValueError(f"{key} or {key}_file: exactly one of them is needed")


class Bearer(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="bearer"):
    """`Authorization: Bearer …`, or another word where the destination has its own (`ApiKey`)."""

    token: Secret | None = None
    token_file: str | None = None
    scheme: str = "Bearer"

    def __post_init__(self) -> None:
        self._needs_one_of("token", self.token, self.token_file)
        if not (self.scheme.isascii() and self.scheme.isalnum()):
            raise ValueError("scheme is not one word, such as Bearer or ApiKey")


class Basic(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="basic"):
    """`Authorization: Basic …` (RFC 7617, UTF-8)."""

    username: str
    password: Secret | None = None
    password_file: str | None = None

    def __post_init__(self) -> None:
        self._needs_one_of("password", self.password, self.password_file)


class Header(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="header"):
    """A header of the destination's own choosing."""

    name: str
    value: Secret | None = None
    value_file: str | None = None

    def __post_init__(self) -> None:
        self._needs_one_of("value", self.value, self.value_file)


class OAuth2(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="oauth2"):
    """A token by client credentials (RFC 6749, 4.4); the client is named by Basic, which every
    server must take.
    """

    token_url: str
    client_id: str
    client_secret: Secret | None = None
    client_secret_file: str | None = None
    scope: str = ""
    audience: str = ""

    def __post_init__(self) -> None:
        self._needs_one_of("client_secret", self.client_secret, self.client_secret_file)


Auth = Bearer | Basic | Header | OAuth2


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An HMAC-SHA256 over the body as it is sent (standardwebhooks.com, 1.0.0); the secret is
    `whsec_` and base64.
    """

    secret: Secret | None = None
    secret_file: str | None = None

    def __post_init__(self) -> None:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("secret or secret_file: exactly one of them is needed")


class Credentials:
    """Makes the headers of each request.

    What was read from a file or fetched is kept until `forget`.
    """

    def __init__(self, auth: Auth | None, signature: Signature | None, post_form: PostForm) -> None:
        self._auth = auth
        self._signature = signature
        self._post_form = post_form
        self._kept: dict[str, str] | None = None
        self._kept_until = float("inf")
        self._signing_key: bytes | None = None

    def forget(self) -> None:
        """Read and fetch everything again for the next request: the destination has refused it."""
        self._kept = self._signing_key = None

    async def headers(self) -> dict[str, str]:
        """Return the headers that name us; raise RetryLater when they cannot be had now."""
        if self._kept is None or time.monotonic() >= self._kept_until:
            self._kept, self._kept_until = None, float("inf")
            self._kept = await self._make()
        return self._kept

    async def signature(self, message_id: str, body: bytes) -> dict[str, str]:
        """Return the `webhook-…` headers, none when nothing is to be signed."""
        if self._signature is None:
            return {}
        if self._signing_key is None:
            self._signing_key = _decoded(
                await _secret("secret", self._signature.secret, self._signature.secret_file)
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
                return {"Authorization": f"{scheme} {await _secret('token', token, file)}"}
            case Basic(username=name, password=password, password_file=file):
                return {"Authorization": _basic(name, await _secret("password", password, file))}
            case Header(name=name, value=value, value_file=file):
                return {name: await _secret("value", value, file)}
            case OAuth2() as client:
                return {"Authorization": f"Bearer {await self._fetch(client)}"}

    async def _fetch(self, client: OAuth2) -> str:
        secret = await _secret("client_secret", client.client_secret, client.client_secret_file)
        form = {
            "grant_type": "client_credentials",
            "scope": client.scope,
            "audience": client.audience,
        }
        body = urlencode({key: value for key, value in form.items() if value}).encode()
        basic = _basic(quote_plus(client.client_id), quote_plus(secret))
        status, answer = await self._post_form(client.token_url, body, {"Authorization": basic})
        if status != 200:
            raise RetryLater(
                "credentials",
                f"the token endpoint answered {status}; check auth.token_url, client_id and client_secret",
            )
        try:
            token = msgspec.json.decode(
                answer, type=_Token, strict=False
            )  # some write expires_in as text
        except msgspec.MsgspecError:  # not chained: its message may quote the answer
            raise RetryLater(
                "credentials",
                "the token endpoint's answer holds no access_token; check auth.token_url",
            ) from None
        if token.expires_in is not None:
            self._kept_until = time.monotonic() + max(token.expires_in - RENEW_BEFORE_SECONDS, 0.0)
        return token.access_token


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float | None = None


async def _secret(key: str, value: Secret | None, file: str | None) -> str:
    if file is None:
        secret, where = str(value or ""), key
    else:
        secret, where = await _read(file, key), f"{key}_file {file}"
    if not secret or not secret.isprintable():
        raise RetryLater(
            "credentials",
            f"{where} is {'not one line of text' if secret else 'empty'}: put the credential there, alone",
        )
    return secret


async def _read(file: str, key: str) -> str:
    try:
        return (await asyncio.to_thread(Path(file).read_bytes)).decode().strip()
    except OSError as error:
        raise RetryLater(
            "credentials", f"could not read {key}_file {file}: {error.strerror}"
        ) from error
    except UnicodeDecodeError:  # not chained: its message quotes the bytes
        raise RetryLater("credentials", f"{key}_file {file} is not UTF-8 text") from None


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def _decoded(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise RetryLater(
            "credentials",
            "signature.secret is not base64; take it as the destination shows it, whsec_…",
        ) from None
