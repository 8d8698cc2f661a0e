"""The error tree: who may raise what, and what happens then.

TraceSidecarError
├── ConfigurationError      a person must fix the configuration (exit 78)
│   └── ConfigurationUnavailable   it, or a file that it names, cannot be read now (exit 75)
├── RedactionError          the redaction misses planted test secrets: nothing is shipped (exit 78)
├── OutputError             what a command prints cannot be written (exit 1)
│   └── OutputClosed        its reader has gone, as with `| head`: nothing is said (exit 141)
├── StateError              the state directory cannot be used (exit 78)
│   ├── JournalMissing      nothing has run with it yet (exit 78)
│   ├── JournalRemoved      somebody removed it while we ran: it is written again (exit 75)
│   ├── StateLocked         another process holds it (exit 75)
│   └── StateUnavailable    not now: full, locked, or a failing disk; waited for, then exit 75
├── EncodingFailed          a whole batch cannot be encoded: a bug, and the sink starts again
└── SinkError               how a sink's `send` may fail
    ├── RetryLater          the destination may take it later: keep it and retry, without end
    ├── Rejected            the destination judged the content: bisect, then quarantine
    └── SinkStopped          the destination holds other data under our name: stop this sink, alert

No message holds trace content or a credential: each says what was tried, on what, what came back,
and what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeGuard, get_args


class TraceSidecarError(Exception):
    """Everything that this program raises on purpose."""


class ConfigurationError(TraceSidecarError):
    """One sentence for a person: file, line, key, what was found, what is allowed."""


class ConfigurationUnavailable(ConfigurationError):
    """A disk or a server does not give the configuration, or a file that it names, just now."""


class RedactionError(TraceSidecarError):
    """The redaction does not remove what it must."""


class OutputError(TraceSidecarError):
    """What a command prints cannot be written: the disk behind stdout is full, say."""


class OutputClosed(OutputError):
    """The reader of what a command prints has gone: it wants no more."""


class StateError(TraceSidecarError):
    """The state directory cannot be used as it is."""


class JournalMissing(StateError):
    """There is no journal: nothing has run with this state directory yet."""


class JournalRemoved(StateError):
    """The journal was removed while it was open; it is there again, and a new start goes on."""


class StateLocked(StateError):
    """Another process holds the state directory."""


class StateUnavailable(StateError):
    """The state directory cannot be used now, which may pass: wait and try again."""


class EncodingFailed(TraceSidecarError):
    """No line of a batch can be encoded, so the fault is hardly one of the lines."""


class SinkError(TraceSidecarError):
    """How a sink's `send` may fail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Take a short label for metrics (`throttled`) and a sentence for people, no content."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def rephrase(self, rephrase: Callable[[str], str]) -> None:
        """Change the sentence: where the sink is known, values of its options are masked."""
        self.detail = rephrase(self.detail)
        self.args = (f"{self.reason}: {self.detail}" if self.detail else self.reason,)


RetryReason = Literal[
    "acknowledgement",
    "all_refused",
    "answer",
    "auth",
    "bad_request",
    "channel",
    "checksum",
    "clock",
    "closed",
    "configuration",
    "conflict",
    "connection",
    "constraint",
    "corrupt",
    "credentials",
    "data",
    "denied",
    "dns",
    "fenced",
    "index",
    "io",
    "locked",
    "media_type",
    "network",
    "no_database",
    "no_space",
    "not_found",
    "protocol",
    "proxy",
    "read_only",
    "redirected",
    "refused",
    "region",
    "serialization",
    "status",
    "stopped",
    "tables",
    "template",
    "throttled",
    "timeout",
    "tls",
    "too_large",
    "too_many_connections",
    "unacknowledged",
    "unavailable",
    "unprocessable",
    "unreachable",
]
"""The labels of RetryLater, which metrics have from the start: no error can have another."""

RetryAdvice = tuple[RetryReason, str]
"""Why a batch is sent again, and what a person can do about it."""


class RetryLater(SinkError):
    """Try the same batch again, `after_seconds` from now if the destination said so."""

    def __init__(
        self, reason: RetryReason, detail: str = "", *, after_seconds: float | None = None
    ) -> None:
        super().__init__(reason, detail)
        self.after_seconds = after_seconds


class Rejected(SinkError):
    """The destination rejects the content.

    `records` are the indexes of the rejected records within the batch sent, None if the
    destination did not name them. `stored`: all the other records of the batch are durable there,
    so they are not sent again. `rejected_count`: how many of `records`, or of all that were
    sent, were rejected, when the destination gives only a count; the rest of them are stored.
    `within`: if `records` is None, the first and last index between which the rejected ones are.
    `is_certain`: the records fit the rule that the destination named, so that it is right even if
    it rejects everything.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        records: tuple[int, ...] | None = None,
        stored: bool = False,
        rejected_count: int | None = None,
        within: tuple[int, int] | None = None,
        is_certain: bool = False,
    ) -> None:
        super().__init__(reason, detail)
        self.records = records
        self.stored = stored
        self.rejected_count = rejected_count
        self.within = within
        self.is_certain = is_certain

    def become_retry(self, advice: str) -> RetryLater:
        """Make the error for a request without records: there was nothing to judge."""
        reason = self.reason if _is_retry_reason(self.reason) else "bad_request"
        return RetryLater(reason, f"{self.detail}{advice}")


def _is_retry_reason(reason: str) -> TypeGuard[RetryReason]:
    return reason in get_args(RetryReason)


class SinkStopped(SinkError):
    """The sink must not go on until a person has looked."""
