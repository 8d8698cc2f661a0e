"""What an object store's error means for the batch, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from tracesidecar.errors import RetryAdvice, RetryLater, RetryReason
from tracesidecar.sinks.transport import tls_advice

_UNKNOWN = (
    "tracesidecar does not know this response: check the address and the store's log; "
    'if the store knows no checksums, set checksum = "none", if no conditions, conditional = false'
)

_TOO_LARGE = (
    "the store, or a proxy before it, takes no request of this size: allow larger ones there, or "
    "send smaller parts (multipart_above and part_size, in azure blocks_above and block_size)"
)


class StoreError(Exception):
    """A failed call: the store's error code and HTTP status (0 when there was no response).

    `detail` is what `answers.describe_answer` lets be shown of the response. Apart from that it
    never has the server's own message, which may quote a key id or an object's name.
    """

    def __init__(
        self,
        code: str,
        status: int = 0,
        *,
        after_seconds: float | None = None,
        tls_reason: str | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(f"{code} ({status})" if status else code)
        self.code = code
        self.status = status
        self.after_seconds = after_seconds
        self.tls_reason = tls_reason
        self.detail = detail


class NameTaken(Exception):
    """The store already has an object of that name."""


class ErrorRow(NamedTuple):
    """What some error codes mean: the reason that logs and metrics show, and the advice.

    `codes` are separated by blanks.
    """

    reason: RetryReason
    advice: str
    codes: str


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """What the errors of one kind of store mean: reason and advice by error code.

    The status decides about other codes: `rights` is the advice for 403, `missing` for 404.
    """

    by_code: Mapping[str, RetryAdvice]
    rights: str
    missing: str

    @classmethod
    def of(cls, *rows: ErrorRow, rights: str, missing: str) -> Self:
        """Make a table of its rows."""
        by_code = {code: (row.reason, row.advice) for row in rows for code in row.codes.split()}
        by_code["EntityTooLarge"] = ("too_large", _TOO_LARGE)  # S3 answers 400, others 413
        return cls(by_code, rights, missing)

    def retry_later(self, error: StoreError, where: str) -> RetryLater:
        """Make the error that says what was tried where, what came back, and what to do."""
        reason, advice = self.by_code.get(error.code) or self._by_status(error.status)
        if error.tls_reason:
            advice = tls_advice(error.tls_reason)
        tls = f", {error.tls_reason}" if error.tls_reason else ""
        detail = f" ({error.detail})" if error.detail else ""
        return RetryLater(
            reason,
            f"{where} {_outcome(error, reason)}{tls}{detail}: {advice}",
            after_seconds=error.after_seconds,
        )

    def is_forbidden(self, error: StoreError) -> bool:
        """Return whether the store rejected the credentials, or what they tried to do."""
        known = self.by_code.get(error.code)
        return error.status in {401, 403} or (known is not None and known[0] == "credentials")

    def _by_status(self, status: int) -> RetryAdvice:
        if status in {401, 403}:
            return "denied", self.rights
        if status == 429:
            return "throttled", "the store asks to slow down"
        if status == 404:
            return "not_found", self.missing
        if status == 413:
            return "too_large", _TOO_LARGE
        if status >= 500:
            return "unavailable", "the store itself has a problem"
        if status == 0:
            return "network", "check the address, the network and the proxies"
        return (
            "status",
            _UNKNOWN,
        )


def _outcome(error: StoreError, reason: str) -> str:
    if error.status:
        return f"answered {error.status} {error.code}"
    if reason == "credentials":
        return f"was not contacted, for lack of credentials ({error.code})"
    return f"could not be reached ({error.code})"
