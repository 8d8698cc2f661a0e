"""The contract between the pipeline and a destination.

What a sink does, and how it declares itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Literal, Protocol, Self, TypeVar, runtime_checkable

import msgspec

from tracesidecar.model import Batch
from tracesidecar.sinks.options import SinkOptions, plain_value

OptionsT = TypeVar("OptionsT", bound=SinkOptions)

Promise = Literal["exactly once", "at least once", "kernel-acknowledged", "none"]
"""What the return of `Sink.send` means for the lines of the batch.

"kernel-acknowledged": the destination's kernel has the bytes; its program may still lose them.
"""

DeliveryUnit = Literal["objects", "body", "records"]
"""What a sink takes of a batch: objects under names and their manifest, one body, or single
records.
"""

LAKE_ROW_BYTES = 1 << 20
"""The longest row in a lake: one that every engine reads without trouble.

Athena takes 32 MB; a laptop's tools struggle long before that.
"""


class Sink(Protocol):
    """A destination, used by one task of the event loop.

    `__aenter__` connects and makes the cheapest request that proves the credentials. It raises
    RetryLater while the destination is unreachable or rejects the credentials, and SinkStopped when
    only a person can help. `__aexit__` closes everything and may be followed by another
    `__aenter__`.

    `send` makes one attempt and returns only when the whole batch is durable at the destination, as
    far as the type's promise goes. It raises Rejected when the destination judged the content,
    SinkStopped when only a person can help, and RetryLater in every other case and when in doubt.
    It never retries: `deliver` does, with the same batch. A cancelled `send` may or may not have
    arrived. Work that blocks runs in a thread, never in the event loop.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def send(self, batch: Batch) -> None:
        """Make one attempt to deliver the whole batch."""
        ...


@runtime_checkable
class Store(Sink, Protocol):
    """A sink that keeps objects by name."""

    async def exists(self, name: str) -> bool:
        """Return whether an object of that name (relative to the sink's prefix) is stored.

        Raise RetryLater when the store cannot answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a destination says of the records of a batch, by their index.

    `stored` are those that it has. `rejected` are those that it will never take, with the reason.
    Of all others it has nothing.
    """

    stored: AbstractSet[int]
    rejected: Mapping[int, str] = field(default_factory=dict)


@runtime_checkable
class RecordKeeper(Sink, Protocol):
    """A sink of single records whose destination can be asked which of them it has."""

    async def find_stored(self, batch_id: str, ids: Sequence[str], /) -> Receipt | None:
        """Return what the destination has of a batch whose records have these ids, in order.

        A record counts that came in another batch, too. None if the destination cannot tell. Raise
        RetryLater when it cannot answer now, with reason `denied` if it does not let these
        credentials ask.
        """
        ...


@runtime_checkable
class ConflictKeeper(Sink, Protocol):
    """A sink that keeps a record under a derived id if another line has its id already."""

    def take_conflicts(self) -> Mapping[str, int]:
        """Return how many records were stored so since the last call, by the path of their file.

        One that is found there again is a repeat, and does not count.
        """
        ...


class StoredObjects(Protocol):
    """Everything that a sink keeps, by names relative to its prefix: for `verify` and `compact`.

    Every method blocks, and raises RetryLater when the store cannot be used now. One thread at a
    time.
    """

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield name and size in bytes of each object below a prefix.

        The prefix ends in a slash or is empty.
        """
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the content in blocks. Raise FileNotFoundError when there is no such object."""
        ...

    def put(self, name: str, source: str) -> None:
        """Store a file's content durably under a name, replacing what is there."""
        ...

    def remove(self, name: str) -> None:
        """Remove an object; a missing one is no error."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkType(Generic[OptionsT]):
    """A kind of destination, which its package declares as `SINK_TYPE`.

    Importing that package is cheap: a heavy client is imported when the sink connects, so that a
    configuration is checked without it.

    `build` makes the sink and opens nothing; `destination` names where it delivers, without
    credentials: the journal notices by it that a sink's name now stands for another place.
    `promise` and `record_limit_bytes` (the longest record that the destination takes, 0 for any)
    hold for the type, unless `promise_of` or `record_limit_of` derive them from the options.
    The formats that the type takes are the type of `format` in its options.
    `keeps_records`: the sink is a RecordKeeper with these options.
    `takes_text`: records arrive as lines of text, in which no character may act as a control.
    `keeps_content`: events are delivered whole unless the configuration says otherwise.
    For types that take objects, `lake_location` names the folder, or the bucket and prefix as query
    engines write it, and `stored_objects` gives access to what is stored. `needs` names the import
    that proves that `extra` is installed.
    """

    name: str
    options: type[OptionsT]
    build: Callable[[OptionsT], Sink]
    destination: Callable[[OptionsT], str]
    delivery_unit: DeliveryUnit
    promise: Promise
    promise_of: Callable[[OptionsT], Promise] | None = None
    record_limit_bytes: int = 0
    record_limit_of: Callable[[OptionsT], int] | None = None
    keeps_records: Callable[[OptionsT], bool] | None = None
    takes_text: bool = False
    keeps_content: bool = False
    lake_location: Callable[[OptionsT], str] | None = None
    stored_objects: Callable[[OptionsT], StoredObjects] | None = None
    extra: str = ""
    needs: str = ""

    def narrow(self, options: SinkOptions) -> OptionsT:
        """Return the options as this type's, with plain texts, which every encoder knows.

        Raise TypeError when they are another type's.
        """
        if not isinstance(options, self.options):
            raise TypeError(f"{type(options)} are not the options of a sink of type {self.name}")
        values = {name: getattr(options, name) for name in options.__struct_fields__}
        made = {name: plain_value(value) for name, value in values.items()}
        is_plain = all(made[name] is value for name, value in values.items())
        return options if is_plain else msgspec.convert(made, self.options)

    def is_installed(self) -> bool:
        """Return whether what the sink needs can be imported, without importing it."""
        try:
            return not self.needs or importlib.util.find_spec(self.needs) is not None
        except ModuleNotFoundError:  # not even the package that contains it
            return False
