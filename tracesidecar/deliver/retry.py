"""When to send again: exponential back-off, and the circuit of a destination that is down."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter. `failures_to_open` failures in a row open the circuit."""

    first_seconds: float = 0.5
    limit_seconds: float = 60.0
    failures_to_open: int = 5

    def pause(self, failures: int, after_seconds: float | None) -> float:
        """Return how many seconds to wait after so many failures in a row.

        It is never less than `after_seconds`, which the destination asked for.
        """
        ceiling = min(self.limit_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return max(after_seconds or 0.0, random.uniform(ceiling / 2, ceiling))


@dataclass(slots=True)
class Circuit:
    """How a destination has answered lately. While it is open, one batch at a time is the probe."""

    failures: int = 0
    is_open: bool = False

    def fail(self, policy: RetryPolicy) -> bool:
        """Count a failure; return whether this one opened the circuit."""
        self.failures += 1
        opens = self.failures >= policy.failures_to_open and not self.is_open
        self.is_open = self.is_open or opens
        return opens

    def close(self) -> bool:
        """Count an answer; return whether it closed the circuit."""
        closes, self.failures, self.is_open = self.is_open, 0, False
        return closes
