"""What an error of librdkafka means for the batch; errors are known by their names, so that the
client need not be imported.
"""

from __future__ import annotations

from typing import Protocol

from tracesidecar.errors import RetryLater

REFUSALS = {
    "MSG_SIZE_TOO_LARGE": "too_large",
    "INVALID_RECORD": "invalid_record",
    "_INVALID_DIFFERENT_RECORD": "invalid_record",
}
"""Judgments of a message, or of one that was in the same request."""

DOWN = frozenset({"_ALL_BROKERS_DOWN", "_AUTHENTICATION", "_SSL", "SASL_AUTHENTICATION_FAILED"})
"""Said apart from any message, these end an attempt.

A single broker that goes away does not: another leads then.
"""

PURGED = frozenset({"_PURGE_QUEUE", "_PURGE_INFLIGHT"})
"""Said of the other messages of a transaction in which one was refused."""

_ACL = "grant its principal Write and Describe on the topic"

_LATER = {
    "_ALL_BROKERS_DOWN": ("network", "no broker can be reached: check brokers"),
    "_TRANSPORT": ("network", "no broker can be reached: check brokers"),
    "_RESOLVE": (
        "dns",
        "the name of a broker could not be resolved; check brokers and the resolver",
    ),
    "_AUTHENTICATION": (
        "credentials",
        "it refuses the credentials: mend sasl, or the file that it names",
    ),
    "SASL_AUTHENTICATION_FAILED": (
        "credentials",
        "it refuses the credentials: mend sasl, or the file that it names",
    ),
    "UNSUPPORTED_SASL_MECHANISM": ("credentials", "it does not offer that sasl.mechanism"),
    "_SSL": ("tls", "TLS failed: check tls and the certificates of the brokers"),
    "TOPIC_AUTHORIZATION_FAILED": ("denied", f"the credentials may not write to the topic: {_ACL}"),
    "CLUSTER_AUTHORIZATION_FAILED": (
        "denied",
        f"the credentials may not produce: {_ACL}, before Kafka 2.8 also IdempotentWrite on the cluster",
    ),
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": (
        "denied",
        "grant its principal Write and Describe on the transactional id",
    ),
    "GROUP_AUTHORIZATION_FAILED": (
        "denied",
        "grant its principal Read on the group that has the name of the transactional id",
    ),
    "UNKNOWN_TOPIC_OR_PART": ("not_found", "the topic is not there: make it"),
    "_UNKNOWN_TOPIC": ("not_found", "the topic is not there: make it"),
    "_FENCED": ("fenced", "another sender has the same transactional_id: give each its own"),
    "INVALID_PRODUCER_EPOCH": (
        "fenced",
        "another sender has the same transactional_id: give each its own",
    ),
    "_MSG_TIMED_OUT": (
        "timeout",
        "it did not answer in time; it may have stored messages, which keep their ids",
    ),
    "_TIMED_OUT": (
        "timeout",
        "it did not answer in time; it may have stored messages, which keep their ids",
    ),
    "NOT_ENOUGH_REPLICAS": ("unavailable", "too few replicas are in sync"),
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": ("unavailable", "too few replicas are in sync"),
}

_EXPLAINED = frozenset({"_SSL", "_TRANSPORT", "_RESOLVE"})
"""Their text speaks of addresses and certificates only, and says what a person needs to know."""

_TEXT_CHARACTERS = 300


class KafkaError(Protocol):
    """What is used of the client's error."""

    def name(self) -> str: ...

    def str(self) -> str: ...


def failure(error: KafkaError, where: str) -> RetryLater:
    """Name what went wrong, and what to do."""
    name = error.name()
    reason, advice = _LATER.get(name, ("unavailable", "it is in trouble itself"))
    said = f" ({error.str()[:_TEXT_CHARACTERS]})" if name in _EXPLAINED else ""
    return RetryLater(reason, f"{where} said {name}{said}: {advice}")
