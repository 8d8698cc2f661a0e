"""Delivery as the daemon does it, with pauses short enough for a test, and a hook for what the
world does meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tracesidecar.deliver.delivery import Delivery
from tracesidecar.deliver.retry import RetryPolicy
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.sink import Sink

PATIENCE = 200


@dataclass
class World:
    """Hears of each retry; after some of them it repairs what is broken."""

    repair: Callable[[], object] = lambda: None
    repaired_after: int = 2
    errors: list[RetryLater] = field(default_factory=list)

    def attempted(self, seconds: float, outcome: str) -> None:
        """The outcome is not what these tests ask for."""

    def retrying(self, error: RetryLater, pause_seconds: float, failures: int) -> None:
        self.errors.append(error)
        if len(self.errors) == self.repaired_after:
            self.repair()
        assert len(self.errors) < self.repaired_after + PATIENCE, error

    def circuit(self, *, is_open: bool) -> None:
        """The circuit is not what these tests ask for."""


def delivery(
    sink: Sink, world: World | None = None, *, longest_pause_seconds: float = 0.1
) -> Delivery:
    """Put retry and bisection around a sink."""
    return Delivery(
        sink, world or World(), RetryPolicy(first_seconds=0.02, limit_seconds=longest_pause_seconds)
    )
