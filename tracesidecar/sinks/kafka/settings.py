"""The settings of librdkafka (its CONFIGURATION.md) that follow from a sink's options."""

from __future__ import annotations

from tracesidecar.sinks.kafka.options import Options, Sasl
from tracesidecar.sinks.transport import TlsOptions, read_secret_file, require_one_line

_QUEUE_KIBIBYTES = 16 << 10
_COMMIT_SECONDS = 10.0

Setting = str | int | float | bool


def connection_settings(options: Options) -> dict[str, Setting]:
    """Return how brokers are reached.

    Blocks on the disk: the password is read each time. Raise RetryLater if it cannot be read.
    """
    security = "SASL_" if options.sasl else ""
    settings: dict[str, Setting] = {
        "bootstrap.servers": ",".join(options.brokers),
        "client.id": "tracesidecar",
        "security.protocol": security + ("SSL" if options.tls else "PLAINTEXT"),
        # librdkafka accepts no less than 1000
        "socket.connection.setup.timeout.ms": max(1000, _milliseconds(options.connect_timeout)),
        "reconnect.backoff.max.ms": 1000,
    }
    if options.sasl:
        settings |= {
            "sasl.mechanism": options.sasl.mechanism,
            "sasl.username": require_one_line("sasl.username", options.sasl.username),
            "sasl.password": _password(options.sasl),
        }
    return settings | (_tls_settings(options.tls) if options.tls else {})


def producer_settings(options: Options, *, one_by_one: bool) -> dict[str, Setting]:
    """Return how messages are sent.

    `one_by_one` gives each message a request of its own: a broker that rejects a request does not
    say which of its messages is at fault.
    """
    settings: dict[str, Setting] = {
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": options.compression,
        "partitioner": "murmur2_random",  # the partitioner of Java clients, for equal partitions
        "linger.ms": 5,
        "message.max.bytes": int(options.message_limit),
        "message.timeout.ms": _milliseconds(options.timeout),
        "queue.buffering.max.kbytes": _QUEUE_KIBIBYTES,
    }
    if one_by_one:
        settings["batch.num.messages"] = 1
    if options.transactional_id:
        settings |= {
            "transactional.id": options.transactional_id,
            "transaction.timeout.ms": _milliseconds(options.timeout + _COMMIT_SECONDS),
        }
    return settings


def _tls_settings(options: TlsOptions) -> dict[str, Setting]:
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
        return require_one_line("sasl.password", str(sasl.password))
    return read_secret_file("password", sasl.password_file)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
