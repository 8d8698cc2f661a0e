"""What a Kafka sink is configured with, and what librdkafka is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from tracesidecar.errors import RetryLater
from tracesidecar.sinks.options import BatchLimits, SinkOptions
from tracesidecar.sinks.transport.request_splitter import record_batches
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Secret, Size

OVERHEAD_BYTES = 4096
"""Of a message beside its record: key, headers, and what the protocol adds."""

_QUEUE_KIBIBYTES = 16 << 10
_COMMIT_SECONDS = 10.0

Setting = str | int | float | bool


class Sasl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`sasl = { … }` of a Kafka sink."""

    username: str
    password: Secret | None = None
    password_file: str | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"

    def __post_init__(self) -> None:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("password or password_file: exactly one of them is needed")


class Options(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `kafka`.

    Without `tls` connections are in the clear. With `transactional_id`, which no other sender may
    have, a batch is one transaction, which also commits the batch's id under a consumer group of
    that name. `message_limit` is the most that brokers take of one message. `timeout` is for one
    whole attempt.
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
    def where(self) -> str:
        """Name the destination in errors."""
        return f"kafka at {', '.join(self.brokers)}"


def connection(options: Options) -> dict[str, Setting]:
    """Say how brokers are reached.

    Blocks on the disk: credentials are read each time. Raises RetryLater where they cannot be had.
    """
    security = "SASL_" if options.sasl else ""
    settings: dict[str, Setting] = {
        "bootstrap.servers": ",".join(options.brokers),
        "client.id": "tracesidecar",
        "security.protocol": security + ("SSL" if options.tls else "PLAINTEXT"),
        "socket.connection.setup.timeout.ms": max(1000, _milliseconds(options.connect_timeout)),
        "reconnect.backoff.max.ms": 1000,
    }
    if options.sasl:
        settings |= {
            "sasl.mechanism": options.sasl.mechanism,
            "sasl.username": options.sasl.username,
            "sasl.password": _password(options.sasl),
        }
    return settings | (_tls(options.tls) if options.tls else {})


def producing(options: Options, *, lone: bool) -> dict[str, Setting]:
    """Say how messages are sent; `lone`: each in a request of its own, so that no message answers
    for another.
    """
    settings: dict[str, Setting] = {
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": options.compression,
        "partitioner": "murmur2_random",  # what Java's clients do with a key
        "linger.ms": 5,
        "message.max.bytes": int(options.message_limit),
        "message.timeout.ms": _milliseconds(options.timeout),
        "queue.buffering.max.kbytes": _QUEUE_KIBIBYTES,
    }
    if lone:
        settings["batch.num.messages"] = 1
    if options.transactional_id:
        settings |= {
            "transactional.id": options.transactional_id,
            "transaction.timeout.ms": _milliseconds(options.timeout + _COMMIT_SECONDS),
        }
    return settings


def _tls(options: TlsOptions) -> dict[str, Setting]:
    files = {
        "ssl.ca.location": options.ca_file,
        "ssl.certificate.location": options.cert_file,
        "ssl.key.location": options.key_file or options.cert_file,
    }
    return {
        "enable.ssl.certificate.verification": options.verify,
        **{key: path for key, path in files.items() if path},
    }


def _password(sasl: Sasl) -> str:
    if sasl.password_file is None:
        return str(sasl.password)
    try:
        return Path(sasl.password_file).read_bytes().decode().strip()
    except OSError as error:
        raise RetryLater(
            "credentials", f"could not read password_file {sasl.password_file}: {error.strerror}"
        ) from error
    except UnicodeDecodeError:  # not chained: its message quotes the bytes
        raise RetryLater(
            "credentials", f"password_file {sasl.password_file} is not UTF-8 text"
        ) from None


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
