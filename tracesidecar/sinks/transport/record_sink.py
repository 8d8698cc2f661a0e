"""A sink that posts records to one HTTP endpoint, in requests within the destination's limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from tracesidecar.errors import Rejected
from tracesidecar.model import Batch
from tracesidecar.sinks.transport.http_endpoint import Endpoint
from tracesidecar.sinks.transport.request_splitter import RecordRequest, RequestSplitter


class RecordSink(ABC):
    """Splits each batch into requests and posts them; a destination adds `_probe` and `_post`."""

    def __init__(self, endpoint: Endpoint, splitter: RequestSplitter) -> None:
        self._endpoint = endpoint
        self._splitter = splitter

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._endpoint)
            try:
                await self._probe()
            except Rejected as error:  # nothing was sent that it could judge: retry, do not bisect
                raise error.become_retry(" to a request without records; check url") from error
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
        """Post the records of the batch that are not stored yet."""
        await self._splitter.send(batch, self._post)

    @abstractmethod
    async def _probe(self) -> None:
        """Make the cheapest request that shows whether the destination would take records.

        Raise RetryLater if it would not. A Rejected is turned into RetryLater by the caller.
        """

    @abstractmethod
    async def _post(self, request: RecordRequest) -> None:
        """Make one request; return when its records are stored.

        Raise RetryLater, or Rejected with indexes within the request.
        """
