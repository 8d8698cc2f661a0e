"""The options of a `[[sink]]` of type `kafka`."""

from __future__ import annotations

from typing import Literal

import msgspec

from tracesidecar.sinks.exposure import ClearText
from tracesidecar.sinks.options import BatchLimits, SinkOptions
from tracesidecar.sinks.transport import (
    TlsOptions,
    is_unverified,
    record_batches,
    require_one_source,
)
from tracesidecar.units import Seconds, Secret, Size

OVERHEAD_BYTES = 4096
"""What a message has in addition to its record: key, headers, and what the protocol adds."""


class Sasl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`sasl = { … }` of a Kafka sink."""

    username: str
    password: Secret | None = None
    password_file: str | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"

    def __post_init__(self) -> None:
        require_one_source("password", self.password, self.password_file)


class Options(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The brokers, the topic and the guarantees.

    Without `tls` connections are not encrypted. With `transactional_id`, which no other producer
    may have, each batch is one transaction; it also commits the batch's id, for a consumer group
    of that name. `message_limit` is the longest message that the brokers accept. `timeout` covers
    one whole attempt.
    """

    brokers: tuple[str, ...]
    topic: str
    format: Literal["event", "ecs", "ocsf", "otlp", "raw"] = "event"
    compression: Literal["none", "gzip", "zstd"] = "zstd"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)
    message_limit: Size = msgspec.field(default_factory=lambda: Size.parse("1MB"))
    transactional_id: str = ""
    sasl: Sasl | None = None
    tls: TlsOptions | None = None
    timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("60s"))
    connect_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))

    def __post_init__(self) -> None:
        if not self.brokers or not all(broker.rpartition(":")[0] for broker in self.brokers):
            raise ValueError(
                'brokers is not a list of host:port, such as ["kafka-1.example.com:9092"]'
            )
        if self.tls is not None and self.tls.server_hostname:
            raise ValueError(
                "tls.server_hostname has no meaning for Kafka: brokers name their own addresses"
            )
        if self.message_limit <= OVERHEAD_BYTES:
            raise ValueError(
                f"message_limit is {self.message_limit} bytes; it must be above {OVERHEAD_BYTES}"
            )

    @property
    def trusts_any_server(self) -> bool:
        """Whether TLS is used, and the server's certificate is not verified."""
        return is_unverified(self.tls)

    def list_clear_text(self) -> tuple[ClearText, ...]:
        """Return the brokers that are sent user and password without TLS."""
        if self.sasl is None or self.tls is not None:
            return ()
        return tuple(
            ClearText("brokers", broker.strip().rpartition(":")[0], has_credentials=True)
            for several in self.brokers
            for broker in several.split(",")
        )

    @property
    def where(self) -> str:
        """The destination's name in errors."""
        return f"kafka at {', '.join(self.brokers)}"
