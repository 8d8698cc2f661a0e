"""What a sink is: one verb, and a promise about what its return means."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from tracesidecar.model import Batch


class Sink(Protocol):
    """A destination.

    `__aenter__` connects and makes the cheapest request that proves the credentials; it raises
    RetryLater while the destination is away or refuses the credentials, SinkHalted when a person
    must act. `send` returns only when the whole batch is durable at the destination; it raises
    RetryLater (in doubt: this), Rejected (a judgment of content) or SinkHalted. It makes one
    attempt and never retries; a send that is cancelled may or may not have arrived.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def send(self, batch: Batch) -> None: ...


class Store(Sink, Protocol):
    """A sink that keeps objects by name."""

    async def exists(self, name: str) -> bool:
        """Tell whether an object of that name (below the prefix) is already there; raise RetryLater
        when that cannot be known.
        """
        ...
