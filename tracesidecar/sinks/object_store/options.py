"""The configuration that the object stores have in common."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import urlsplit

import msgspec

from tracesidecar.sinks.exposure import ClearText
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.transport import TlsOptions, is_unverified, list_clear_proxies
from tracesidecar.units import Interpolated, Seconds

_SOURCE = "{source}"
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


class ObjectStoreOptions(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` that keeps objects in a cloud.

    `{source}` in the prefix stands for the identity of a source: each has a sink of its own then,
    which `narrow_to` makes. `timeout` is for one whole object. Without `conditional`, an object is
    written even if its name is taken: for stores that know no conditions.
    """

    prefix: str = ""
    conditional: bool = True
    tls: TlsOptions = msgspec.field(default_factory=TlsOptions)
    timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("120s"))
    connect_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))

    def __post_init__(self) -> None:
        for found in _PLACEHOLDER.findall(self.prefix):
            if found != _SOURCE:
                raise ValueError(f'prefix: "{found}" is unknown; only "{_SOURCE}" can be in braces')
        if self.tls.server_hostname is not None:
            raise ValueError(
                "tls.server_hostname cannot be set for an object store: "
                "the address has to name the host of the certificate"
            )

    @property
    def separates_sources(self) -> bool:
        """Return whether each source has a prefix of its own."""
        return _SOURCE in self.prefix

    def narrow_to(self, source: str, identity: str) -> Self:
        """Return the options of the sink that ships one source alone, below its own prefix."""
        narrowed = super().narrow_to(source, identity)
        prefix = self.prefix.replace(_SOURCE, identity)
        if isinstance(self.prefix, Interpolated):
            prefix = Interpolated.of(prefix, self.prefix.pieces)
        return msgspec.structs.replace(narrowed, prefix=prefix)

    @property
    def trusts_any_server(self) -> bool:
        """Whether TLS is used, and the server's certificate is not verified."""
        return is_unverified(self.tls)

    def list_clear_text(self) -> tuple[ClearText, ...]:
        """Return the store if it is asked without TLS, and a proxy that is.

        Every request is made with credentials.
        """
        parts = urlsplit(self.store_address or "https:")
        key, host = self.address_key, parts.hostname or ""
        proxies = list_clear_proxies(key, parts.scheme, host)
        if parts.scheme != "http":
            return proxies
        return (ClearText(key, host, has_credentials=True), *proxies)

    @property
    def store_address(self) -> str | None:
        """The URL of the store; None for the usual one, and for one without credentials."""
        return None

    @property
    def address_key(self) -> str:
        """The option that has the URL of the store."""
        return "endpoint_url"

    @property
    def key_prefix(self) -> str:
        """What every key begins with: empty, or the prefix with a slash at its end."""
        prefix = self.prefix.strip("/")
        return f"{prefix}/" if prefix else ""
