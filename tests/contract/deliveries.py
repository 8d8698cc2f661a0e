"""Delivery as the daemon does it, with pauses short enough for a test, and a hook for what happens
meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tracesidecar.deliver.delivery import Delivery
from tracesidecar.deliver.retry import RetryPolicy
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.sink import Sink

PATIENCE = 200


@dataclass
class World:
    """Counts the retries, and repairs the destination after some of them."""

    repair: Callable[[], object] = lambda: None
    repaired_after: int = 2
    errors: list[RetryLater] = field(default_factory=list)
    retries: int = 0
    trouble: str = ""
    conflicts: Counter[str] = field(default_factory=Counter)

    def record_attempt(self, seconds: float, outcome: str) -> None:
        """Ignore the outcome, which these tests do not check."""

    def record_answer(self) -> None:
        """Ignore it, as the outcome."""

    def record_retry(self, error: RetryLater, pause_seconds: float, failures: int) -> None:
        """Note the error, repair the destination when it is time, and end what goes on for ever."""
        self.errors.append(error)
        if len(self.errors) == self.repaired_after:
            self.repair()
        assert len(self.errors) < self.repaired_after + PATIENCE, error

    def record_circuit(self, *, is_open: bool) -> None:
        """Ignore the circuit, which these tests do not check."""

    def record_failing(self, error: Exception, records: int) -> None:
        """No sink of these tests fails as none should."""
        raise AssertionError(f"{type(error).__name__} on {records} records") from error

    def record_conflicts(self, counts: Mapping[str, int]) -> None:
        """Note how many records are stored under derived ids."""
        self.conflicts += Counter(counts)


def delivery(
    sink: Sink, world: World | None = None, *, longest_pause_seconds: float = 0.1
) -> Delivery:
    """Put retry and bisection around a sink."""
    return Delivery(
        sink, world or World(), RetryPolicy(first_seconds=0.02, limit_seconds=longest_pause_seconds)
    )
