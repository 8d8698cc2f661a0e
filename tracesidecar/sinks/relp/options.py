"""The options of a `[[sink]]` of type `relp`."""

from __future__ import annotations

from tracesidecar.sinks.exposure import ClearText
from tracesidecar.sinks.transport import SyslogMessageOptions, TlsOptions, is_unverified


class Options(SyslogMessageOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server's port and TLS, in addition to the options of its messages.

    Without `tls` the connection is not encrypted. `timeout` is the longest wait for the server's
    next answer, not for a whole batch.
    """

    port: int
    tls: TlsOptions | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.port < 65536:
            raise ValueError("port is not between 1 and 65535")

    @property
    def trusts_any_server(self) -> bool:
        """Whether TLS is used, and the server's certificate is not verified."""
        return is_unverified(self.tls)

    def list_clear_text(self) -> tuple[ClearText, ...]:
        """Return the server if it is sent events without TLS."""
        return () if self.tls else (ClearText("host", self.host, has_credentials=False),)
