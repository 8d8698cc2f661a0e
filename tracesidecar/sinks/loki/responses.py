"""What Loki's responses mean: its reasons for a 400 are in the text."""

from __future__ import annotations

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks.transport import HttpResponse, raise_for_page, raise_for_status, unlike

BODY_LIMIT_BYTES = 16 << 10

_REASONS = (
    (b"timestamp too old", "too_old"),
    (b"timestamp too new", "too_new"),
    (b"too far behind", "too_far_behind"),
    (b"out of order", "too_far_behind"),
    (b"max entry size", "too_large"),
    (b"max line size", "too_large"),
)
"""Parts of Loki's messages, in lower case (its pkg/validation/validate.go, and the ingester).

Nothing else of a message is repeated, because it may quote the line.
"""
_METADATA_DISABLED = b"structured metadata, but this feature is disallowed"


def raise_for_response(response: HttpResponse, where: str) -> None:
    """Return if the entries are stored; raise Rejected with Loki's reason, or RetryLater.

    Loki answers 204, or at least without a body. Blocks for some milliseconds if it is not Loki
    that answers.
    """
    raise_for_page(response, where)
    if response.status != 400:
        raise_for_status(response, where)
        if not response.is_empty:
            raise unlike(response, where, "Loki would answer 204, with nothing")
        return
    message = response.body.lower()
    if _METADATA_DISABLED in message:
        raise RetryLater(
            "configuration",
            f"{where} does not accept structured metadata; "
            "set limits_config.allow_structured_metadata = true there (schema v13)",
        )
    reason = next((reason for words, reason in _REASONS if words in message), "bad_request")
    raise Rejected(reason, f"{where} answered 400 ({reason})")
