"""The error tree: who may raise what, and what happens then.

TraceSidecarError ├── ConfigurationError      a person must mend the configuration (exit 78) ├──
RedactionError          secrets that were planted to try it pass the redaction: nothing may be
shipped (exit 78) ├── StateError              the state directory cannot be used (exit 78)
│   └── StateLocked         another process holds it (exit 75)
└── SinkError               what a sink may answer to `send`
    ├── RetryLater          the destination may take it later: keep it and try again, without end
    ├── Rejected            the destination judged the content: bisect, then quarantine
    └── SinkHalted          the destination holds something else under our name: stop this sink, alarm

No message holds trace content or a credential: each says what was tried, on what, what came back,
and what to do.
"""

from __future__ import annotations


class TraceSidecarError(Exception):
    """Everything that this program raises on purpose."""


class ConfigurationError(TraceSidecarError):
    """One sentence for a person: file, line, key, what was found, what is allowed."""


class RedactionError(TraceSidecarError):
    """The redaction does not cut what it must."""


class StateError(TraceSidecarError):
    """The state directory cannot be used as it is."""


class StateLocked(StateError):
    """Another process holds the state directory."""


class SinkError(TraceSidecarError):
    """What a sink may answer to `send`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """`reason` is a short label for metrics (`throttled`); `detail` a sentence for people,
        without content.
        """
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class RetryLater(SinkError):
    """Try the same batch again, `after_seconds` from now if the destination said so."""

    def __init__(
        self, reason: str, detail: str = "", *, after_seconds: float | None = None
    ) -> None:
        super().__init__(reason, detail)
        self.after_seconds = after_seconds


class Rejected(SinkError):
    """The destination refuses the content. `records` are indexes within the batch sent, None when
    it did not say which.

    `stored`: all the other records of that batch are durable there, so they are not sent again.
    `refused`: it told only how many of `records` it refuses, and has the others of them. `within`:
    the first and last index between which the refused ones are, where `records` is None.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        records: tuple[int, ...] | None = None,
        stored: bool = False,
        refused: int | None = None,
        within: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(reason, detail)
        self.records = records
        self.stored = stored
        self.refused = refused
        self.within = within


class SinkHalted(SinkError):
    """This sink must not go on until a person has looked."""
