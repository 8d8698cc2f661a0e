"""A sink that puts each object once under a name of its own, on the condition that the name is
free.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar

import structlog

from tracesidecar.errors import RetryLater, SinkStopped
from tracesidecar.model import Batch, Payload
from tracesidecar.sinks.object_store.errors import ErrorTable, NameTaken, StoreFailure
from tracesidecar.sinks.object_store.options import ObjectStoreOptions
from tracesidecar.sinks.object_store.stored import Stored, is_ours
from tracesidecar.sinks.transport import WorkerThread

log = structlog.get_logger(__name__)

PROBE_NAME = "_probe/conditional-write"
PROBE_CONTENT = b"Written by tracesidecar to learn whether it may write here, and whether this store honours conditions.\n"
PROBE = Payload(
    PROBE_NAME,
    PROBE_CONTENT,
    hashlib.sha256(PROBE_CONTENT).digest(),
    records=0,
    media_type="text/plain",
)

T = TypeVar("T")


class StoreClient(Protocol):
    """The calls of one bucket or container.

    All block, make one attempt, and raise StoreFailure for what was not answered with success.
    """

    meanings: ErrorTable

    def prove(self, key: str) -> None:
        """Prove with an object under that key that the credentials may write."""
        ...

    def put(self, key: str, payload: Payload, batch_id: str) -> None:
        """Return when the object is durable and the store's checksum of it agrees; raise NameTaken
        where the key has an object.
        """
        ...

    def look(self, key: str) -> Stored | None:
        """Ask for an object without its content; None when there is none."""
        ...

    def checksum_of(self, content: bytes) -> str:
        """Compute the checksum that the store has of an object, as `look` gives it."""
        ...

    def close(self) -> None:
        """Let go of connections and credentials; both are made anew for the next call."""
        ...


class ObjectStoreSink:
    """Exactly once: by the condition, and where a store ignores it because the same name always
    gets the same bytes.

    All calls are made in one thread of its own: a call that was given up is still awaited before
    the next one is made.
    """

    def __init__(self, client: StoreClient, options: ObjectStoreOptions, where: str) -> None:
        self._client = client
        self._options = options
        self._prefix = options.key_prefix
        self._where = where
        self._worker: WorkerThread | None = None

    async def __aenter__(self) -> Self:
        if not self._options.tls.verify:
            log.warning(
                "sink.tls_unverified",
                destination=self._where,
                meaning="anyone on the way can read; set tls.verify",
            )
        self._worker = WorkerThread(self._options.type)
        try:
            await self._in_thread(lambda: self._client.prove(self._prefix + PROBE_NAME))
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
        """Put all objects, then the manifest."""
        for payload in (*batch.objects, *((batch.manifest,) if batch.manifest is not None else ())):
            await self._in_thread(lambda payload=payload: self._keep(payload, batch.id))  # type: ignore[misc]

    async def exists(self, name: str) -> bool:
        """Tell whether an object of that name is there; needs the right to read, and on S3 to list
        for a no.
        """
        return await self._in_thread(lambda: self._client.look(self._prefix + name)) is not None

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
                "timeout", f"{self._where} did not answer in time; the object keeps its name"
            ) from error
        except StoreFailure as failure:
            if self._client.meanings.is_forbidden(failure):
                self._client.close()
            raise self._client.meanings.later(failure, self._where) from failure

    def _keep(self, payload: Payload, batch_id: str) -> None:
        key = self._prefix + payload.name
        try:
            self._client.put(key, payload, batch_id)
        except NameTaken:
            self._accept_equal(key, payload)

    def _accept_equal(self, key: str, payload: Payload) -> None:
        try:
            stored = self._client.look(key)
        except StoreFailure as failure:
            if failure.status != 403:
                raise
            log.warning(
                "sink.repeat_unread",
                key=key,
                meaning="the name is taken, and the credentials may not read whether the content is ours",
            )
            return
        if stored is None:
            raise RetryLater(
                "conflict", f"{self._where} said that it has {key}, and then that it has not"
            )
        if not is_ours(stored, payload, self._client.checksum_of(payload.content)):
            said = f"{self._where} already has {key} with other content; find out who wrote it, then move it away"
            raise SinkStopped("other_content", said)


def media_type_of(payload: Payload) -> str:
    """Name what the stored bytes are; a store that is told of an encoding instead would unpack them
    for some readers.
    """
    return (
        payload.media_type
        if payload.compression == "none"
        else f"application/{payload.compression}"
    )
