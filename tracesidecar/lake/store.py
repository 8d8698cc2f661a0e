"""What is asked of a store to prove and to rewrite what it holds."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Protocol, cast

from tracesidecar.sinks.options import SinkOptions

MODULES = {
    "azure": "tracesidecar.sinks.object_store.azure.objects",
    "directory": "tracesidecar.sinks.directory.objects",
    "gcs": "tracesidecar.sinks.object_store.gcs.objects",
    "s3": "tracesidecar.sinks.object_store.s3.objects",
}
"""Type of the sink → the module whose `objects` looks at what it keeps."""


class Objects(Protocol):
    """Objects by their names below the sink's prefix.

    Every method blocks; each may raise RetryLater when the store cannot be used now.
    """

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Name and size in bytes of each object below a prefix that ends in a slash or is empty."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """The content in blocks; raises FileNotFoundError where there is none."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Rewritable(Objects, Protocol):
    """Objects that can be replaced by others."""

    def local(self, name: str) -> str | None:
        """Where the object lies on this machine, None where it has to be fetched."""
        ...

    def put(self, name: str, source: str) -> None:
        """Keep a file's content under a name, durably, in place of what was there."""
        ...

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is as good."""
        ...


class _Module(Protocol):
    def objects(self, options: SinkOptions) -> Rewritable: ...


def open_store(sink: SinkOptions) -> Rewritable | None:
    """Open what the sink keeps; None where its type cannot be looked at."""
    module = MODULES.get(sink.type)
    return (
        cast("_Module", importlib.import_module(module)).objects(sink)
        if module is not None
        else None
    )
