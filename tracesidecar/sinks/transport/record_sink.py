"""What sinks that post records to one HTTP endpoint have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.transport.http_endpoint import Endpoint
from tracesidecar.sinks.transport.request_splitter import Request, Requests


class PostingSink(ABC):
    """Sends each batch as the requests that the destination's limits ask for."""

    def __init__(self, endpoint: Endpoint, requests: Requests) -> None:
        self._endpoint = endpoint
        self._requests = requests

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._endpoint)
            await self._proven()
            stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._endpoint.__aexit__(kind, error, trace)

    async def send(self, batch: Batch) -> None:
        """Post what is not stored of it yet."""
        await self._requests.send(batch, self._post)

    async def _proven(self) -> None:
        try:
            await self._prove()
        except Rejected as refused:  # there is no content yet that it could judge
            raise RetryLater(
                refused.reason, f"{refused.detail}, to a request without records: check url"
            ) from refused

    @abstractmethod
    async def _prove(self) -> None:
        """Make the cheapest request that proves that the destination would take records; raise
        RetryLater where it would not.
        """

    @abstractmethod
    async def _post(self, request: Request) -> None:
        """Make one request, and return when its records are stored."""
