"""The options of a `[[sink]]` of type `syslog`."""

from __future__ import annotations

from typing import Literal

import msgspec

from tracesidecar.sinks.exposure import ClearText
from tracesidecar.sinks.transport import SyslogMessageOptions, TlsOptions, is_unverified
from tracesidecar.units import Seconds

DATAGRAM_LIMIT_BYTES = 65_507
"""The longest UDP datagram over IPv4: 65,535 bytes without the headers of IP and UDP."""

_DEFAULT_PORTS = {"udp": 514, "tcp": 514, "tls": 6514}


class Options(SyslogMessageOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server's transport, port and TLS, in addition to the options of its messages.

    `settle` is how long the server must keep the connection open after it has acknowledged
    everything. `timeout` is the longest time without progress, not the time for a whole batch.
    """

    transport: Literal["tls", "tcp", "udp"] = "tls"
    port: int | None = None
    tls: TlsOptions | None = None
    settle: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("200ms"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tls is not None and self.transport != "tls":
            raise ValueError(f'tls is given, but transport is "{self.transport}"')
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError("port is not between 1 and 65535")
        if self.transport == "udp" and (self.max_message or 0) > DATAGRAM_LIMIT_BYTES:
            raise ValueError(f"max_message is over {DATAGRAM_LIMIT_BYTES}B, the longest datagram")

    @property
    def effective_port(self) -> int:
        """The port that is configured, or the usual one of the transport."""
        return self.port or _DEFAULT_PORTS[self.transport]

    @property
    def trusts_any_server(self) -> bool:
        """Whether TLS is used, and the server's certificate is not verified."""
        return is_unverified(self.tls)

    def list_clear_text(self) -> tuple[ClearText, ...]:
        """Return the server if it is sent events without TLS."""
        if self.transport == "tls":
            return ()
        return (ClearText("transport", self.host, has_credentials=False),)
