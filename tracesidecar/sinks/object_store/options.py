"""The configuration that the object stores have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Self
from urllib.parse import SplitResult, urlsplit

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
        address, named_by = self.store_address or "https:", None
        if self.store_address is None and self.environment_address is not None:
            named_by, address = self.environment_address
        parts = _split(address)
        key, host = self.address_key, parts.hostname or ""
        proxies = list_clear_proxies(key, parts.scheme, host, takes_all=self.takes_all_proxy)
        if parts.scheme != "http":
            return proxies
        return (ClearText(key, host, has_credentials=True, named_by=named_by), *proxies)

    @property
    def store_address(self) -> str | None:
        """The URL of the store; None for the usual one, and for one without credentials."""
        return None

    @property
    def environment_address(self) -> tuple[str, str] | None:
        """The variable of the environment that names the store, and its URL.

        It holds where no option names the store. None if there is none, or one that is sent no
        credentials.
        """
        return None

    @property
    def takes_all_proxy(self) -> bool:
        """Whether the client takes the proxy in ALL_PROXY: the package `requests` does."""
        return True

    @property
    def address_key(self) -> str:
        """The option that has the URL of the store."""
        return "endpoint_url"

    @property
    def key_prefix(self) -> str:
        """What every key begins with: empty, or the prefix with a slash at its end."""
        prefix = self.prefix.strip("/")
        return f"{prefix}/" if prefix else ""


def find_variable(*names: str) -> tuple[str, str] | None:
    """Return the first of some variables of the environment that is not empty, with its value."""
    return next(((name, os.environ[name]) for name in names if os.environ.get(name)), None)


def list_clear_addresses(key: str, addresses: Mapping[str, object]) -> Iterator[ClearText]:
    """Yield the servers beside the store that get credentials without TLS, by what names them."""
    for named_by, address in addresses.items():
        parts = _split(address) if isinstance(address, str) else None
        if parts is not None and parts.scheme == "http":
            yield ClearText(key, parts.hostname or "", has_credentials=True, named_by=named_by)


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        _ = parts.hostname  # it may be no address
    except ValueError:
        return urlsplit("https:")  # the client says so
    return parts
