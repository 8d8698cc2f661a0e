"""The configuration that the object stores have in common."""

from __future__ import annotations

import msgspec

from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.transport import TlsOptions
from tracesidecar.units import Seconds


class ObjectStoreOptions(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` that keeps objects in a cloud.

    `timeout` is for one whole object. Without `conditional`, an object is written even if its name
    is taken: for stores that know no conditions.
    """

    prefix: str = ""
    conditional: bool = True
    tls: TlsOptions = msgspec.field(default_factory=TlsOptions)
    timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("120s"))
    connect_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))

    def __post_init__(self) -> None:
        if self.tls.server_hostname is not None:
            raise ValueError(
                "tls.server_hostname cannot be set for an object store: "
                "the address has to name the host of the certificate"
            )

    @property
    def key_prefix(self) -> str:
        """What every key begins with: empty, or the prefix with a slash at its end."""
        prefix = self.prefix.strip("/")
        return f"{prefix}/" if prefix else ""
