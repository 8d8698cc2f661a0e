"""What an object store's refusal means for the batch, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracesidecar.errors import RetryLater
from tracesidecar.sinks.transport import tls_advice


class StoreFailure(Exception):
    """A call that was not answered with success: the error's code and status (0 without an answer);
    never the server's own message.
    """

    def __init__(
        self,
        code: str,
        status: int = 0,
        *,
        after_seconds: float | None = None,
        tls_reason: str | None = None,
    ) -> None:
        super().__init__(f"{code} ({status})" if status else code)
        self.code = code
        self.status = status
        self.after_seconds = after_seconds
        self.tls_reason = tls_reason


class NameTaken(Exception):
    """The store has an object of that name already."""


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """What one kind of store means: (reason, advice) by the code of the error; where the code says
    nothing, by the status.

    `rights` is the advice for 403, `missing` the one for 404.
    """

    by_code: Mapping[str, tuple[str, str]]
    rights: str
    missing: str

    def later(self, failure: StoreFailure, where: str) -> RetryLater:
        """Say in a sentence what came back from where and what to do."""
        reason, advice = self.by_code.get(failure.code) or self._by_status(failure.status)
        if failure.tls_reason:
            advice = tls_advice(failure.tls_reason)
        said = f", {failure.tls_reason}" if failure.tls_reason else ""
        return RetryLater(
            reason,
            f"{where} {_answered(failure, reason)}{said}: {advice}",
            after_seconds=failure.after_seconds,
        )

    def is_forbidden(self, failure: StoreFailure) -> bool:
        """Tell whether the credentials, or what they may do, were refused."""
        return (
            failure.status in {401, 403}
            or self.by_code.get(failure.code, ("", ""))[0] == "credentials"
        )

    def _by_status(self, status: int) -> tuple[str, str]:
        if status in {401, 403}:
            return "denied", self.rights
        if status == 429:
            return "throttled", "it asks us to slow down"
        if status == 404:
            return "not_found", self.missing
        if status >= 500:
            return "unavailable", "the store is in trouble itself"
        if status == 0:
            return "network", "check the address, the network and the proxies"
        return (
            "status",
            "this is neither a yes nor a no that we know: check the address and the store's log",
        )


def _answered(failure: StoreFailure, reason: str) -> str:
    if failure.status:
        return f"answered {failure.status} {failure.code}"
    return (
        f"was not asked ({failure.code})"
        if reason == "credentials"
        else f"could not be reached ({failure.code})"
    )
