"""The sink of all object stores.

Each object is created once, on the condition that its name is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import structlog

from tracesidecar.errors import RetryLater, SinkStopped
from tracesidecar.model import Batch, Payload
from tracesidecar.sinks.object_store.client import PROBE, StoreClient
from tracesidecar.sinks.object_store.errors import NameTaken, StoreError
from tracesidecar.sinks.object_store.options import ObjectStoreOptions
from tracesidecar.sinks.transport import ClientThread, warn_if_unverified

log = structlog.get_logger(__name__)

T = TypeVar("T")


class ObjectStoreSink:
    """Delivers exactly once.

    A name is created only while it is free, and the same name always gets the same bytes, which
    also covers stores that ignore the condition.

    All calls of the client run in one thread of the sink's own. A call whose caller has given up is
    still waited for before the next one starts, so that there is never a second writer.
    """

    def __init__(self, client: StoreClient, options: ObjectStoreOptions, where: str) -> None:
        """`where` names the store in errors and logs."""
        self._client = client
        self._options = options
        self._prefix = options.key_prefix
        self._where = where
        self._worker: ClientThread | None = None

    async def __aenter__(self) -> Self:
        warn_if_unverified(self._options.tls, self._where)
        self._worker = ClientThread(self._options.type)
        try:
            await self._in_thread(lambda: self._client.prove_access(self._prefix + PROBE.name))
            if not self._options.conditional:
                log.warning(
                    "sink.unconditional",
                    destination=self._where,
                    meaning="conditional = false: a repeat overwrites the object with the same "
                    "bytes, and another writer's object of that name is not noticed",
                )
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    async def send(self, batch: Batch) -> None:
        """Create all objects, then the manifest."""
        for payload in (*batch.objects, *((batch.manifest,) if batch.manifest is not None else ())):
            await self._in_thread(partial(self._create, payload, batch.id))

    async def exists(self, name: str) -> bool:
        """Return whether an object of that name is stored.

        Needs the right to read; S3 needs the right to list, too, to answer that there is none.
        """
        return await self._in_thread(lambda: self._client.head(self._prefix + name)) is not None

    def _close(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        self._client.close()

    async def _in_thread(self, step: Callable[[], T]) -> T:
        if self._worker is None:
            raise RuntimeError("the sink is used outside of its async with")
        try:
            async with asyncio.timeout(self._options.timeout):
                return await self._worker.run(step)
        except TimeoutError as error:
            raise RetryLater(
                "timeout",
                f"{self._where} did not answer within {self._options.timeout:g} s; "
                "the same object is sent again under the same name",
            ) from error
        except StoreError as error:
            # the next call reads credentials again: a file or a role may have new ones
            if self._client.errors.is_forbidden(error):
                self._client.close()
            raise self._client.errors.retry_later(error, self._where) from error

    def _create(self, payload: Payload, batch_id: str) -> None:
        key = self._prefix + payload.name
        try:
            self._client.create(key, payload, batch_id)
        except NameTaken:
            self._accept_equal(key, payload)

    def _accept_equal(self, key: str, payload: Payload) -> None:
        try:
            found = self._client.head(key)
        except StoreError as error:
            # credentials that may only write are enough: they cannot compare
            if error.status != 403:
                raise
            log.warning(
                "sink.repeat_unread",
                key=key,
                meaning="the name is taken, and the credentials may not read it to compare",
            )
            return
        if found is None:
            raise RetryLater(
                "conflict",
                f"{self._where} answered that {key} exists, then that it does not; "
                "it is sent again",
            )
        if not found.matches(payload, self._client.checksum(payload.content)):
            raise SinkStopped(
                "other_content",
                f"{self._where} already has {key} with other content; "
                "find out who wrote it, then move it away",
            )
