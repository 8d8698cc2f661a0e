"""How much an event matters to who watches."""

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
"""Rules of redaction that cut personal data; every other one cuts secrets."""


def severity(event: Event) -> Severity:
    """Medium: an error, or a secret was cut.

    Low: a permission was denied, or something failed. Else informational.
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
