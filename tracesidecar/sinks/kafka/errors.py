"""What an error of librdkafka means for a batch.

Errors are known by their names, so that the client need not be imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tracesidecar.errors import RetryAdvice, RetryLater

REJECTIONS = {
    "MSG_SIZE_TOO_LARGE": "too_large",
    "INVALID_RECORD": "invalid_record",
    "_INVALID_DIFFERENT_RECORD": "invalid_record",
}
"""Errors that reject a message, and the reason that is recorded for it.

Brokers reject a whole request: the message at fault may be another one in it.
"""

FATAL = frozenset({"_ALL_BROKERS_DOWN", "_AUTHENTICATION", "_SSL", "SASL_AUTHENTICATION_FAILED"})
"""Errors of the client as a whole that end an attempt.

A single broker that goes away does not end it: another one becomes the leader.
"""

PURGED = frozenset({"_PURGE_QUEUE", "_PURGE_INFLIGHT"})
"""The errors of all other messages of a transaction in which one is rejected."""

_ACL = "grant its principal Write and Describe on the topic"
_UNREACHABLE: RetryAdvice = (
    "network",
    "no broker can be reached; check brokers and the network between",
)
_BAD_CREDENTIALS: RetryAdvice = (
    "credentials",
    "it rejects the credentials; correct sasl, or the file that it names",
)
_NO_TOPIC: RetryAdvice = ("not_found", "the topic does not exist; create it")
_FENCED: RetryAdvice = (
    "fenced",
    "another producer has the same transactional_id; give each its own",
)
_TIMEOUT: RetryAdvice = (
    "timeout",
    "it did not answer in time; it may have stored messages, which keep their ids",
)
_TOO_FEW_REPLICAS: RetryAdvice = (
    "unavailable",
    "too few replicas are in sync; see the brokers' logs",
)

_RETRY_REASONS: Mapping[str, RetryAdvice] = {
    "_ALL_BROKERS_DOWN": _UNREACHABLE,
    "_TRANSPORT": _UNREACHABLE,
    "_RESOLVE": (
        "dns",
        "the name of a broker could not be resolved; check brokers and the resolver",
    ),
    "_AUTHENTICATION": _BAD_CREDENTIALS,
    "SASL_AUTHENTICATION_FAILED": _BAD_CREDENTIALS,
    "UNSUPPORTED_SASL_MECHANISM": (
        "credentials",
        "it does not support that mechanism; change sasl.mechanism",
    ),
    "_SSL": ("tls", "TLS failed; check tls and the certificates of the brokers"),
    "TOPIC_AUTHORIZATION_FAILED": ("denied", f"the credentials may not write to the topic; {_ACL}"),
    "CLUSTER_AUTHORIZATION_FAILED": (
        "denied",
        f"{_ACL}; before Kafka 2.8 also IdempotentWrite on the cluster",
    ),
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": (
        "denied",
        "grant its principal Write and Describe on the transactional id",
    ),
    "GROUP_AUTHORIZATION_FAILED": (
        "denied",
        "grant its principal Read on the group that has the name of the transactional id",
    ),
    "UNKNOWN_TOPIC_OR_PART": _NO_TOPIC,
    "_UNKNOWN_TOPIC": _NO_TOPIC,
    "_FENCED": _FENCED,
    "INVALID_PRODUCER_EPOCH": _FENCED,
    "_MSG_TIMED_OUT": _TIMEOUT,
    "_TIMED_OUT": _TIMEOUT,
    "NOT_ENOUGH_REPLICAS": _TOO_FEW_REPLICAS,
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": _TOO_FEW_REPLICAS,
}

_QUOTED = frozenset({"_SSL", "_TRANSPORT", "_RESOLVE"})
"""Errors whose text is repeated: it names addresses and certificates, and never content."""

_OPENSSL_ERROR = "SSL routines"
"""Part of every message of OpenSSL.

On a busy machine librdkafka has been seen to report a failed verification as `_TRANSPORT`, not as
`_SSL`: only its text tells that TLS failed.
"""

_TEXT_LIMIT = 300


class ClientError(Protocol):
    """The methods of the client's error that are used."""

    def name(self) -> str:
        """Return the name of the error's code."""
        ...

    def str(self) -> str:
        """Return the client's description."""
        ...


def retry_later(error: ClientError, where: str) -> RetryLater:
    """Return the error to raise for one of the client's, with what to do about it."""
    name = error.name()
    is_tls = name == "_TRANSPORT" and _OPENSSL_ERROR in error.str()
    reason, advice = _RETRY_REASONS.get(
        "_SSL" if is_tls else name,
        ("unavailable", "it has a problem of its own; see the brokers' logs"),
    )
    text = f" ({error.str()[:_TEXT_LIMIT]})" if name in _QUOTED else ""
    return RetryLater(reason, f"{where} reported {name}{text}: {advice}")
