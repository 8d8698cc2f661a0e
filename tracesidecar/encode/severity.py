"""How much an event matters to people who watch for problems."""

from __future__ import annotations

from tracesidecar.dialects import Event
from tracesidecar.model import Severity

PERSONAL_DATA = frozenset(
    (
        "email",
        "payment-card",
        "iban",
        "us-ssn",
        "us-ssn-named",
        "phone-e164",
        "phone-nanp",
        "phone-named",
        "ipv4",
        "ipv6",
        "mac-address",
        "uk-nino",
        "crypto-wallet",
    ),
)
"""Redaction rules for personal data; all others redact secrets."""


def severity_of(event: Event) -> Severity:
    """Return the severity of an event.

    Medium is an error, or an event from which a secret was redacted; low is a failure or a denied
    permission; anything else is informational.
    """
    if event.event_kind == "error" or _had_a_secret(event):
        return "medium"
    return "low" if event.outcome == "failure" else "informational"


def _had_a_secret(event: Event) -> bool:
    if not event.redaction_count or event.redaction_kinds is None:
        return False
    return any(
        kind.rpartition(":")[0] not in PERSONAL_DATA for kind in event.redaction_kinds.split(",")
    )
