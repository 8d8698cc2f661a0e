"""Sink types by name: which module, which extra it needs, and what it promises."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

if TYPE_CHECKING:
    from tracesidecar.sinks.options import SinkOptions
    from tracesidecar.sinks.sink import Sink

Promise = Literal["exactly once", "at least once", "kernel-acknowledged", "none"]


class SinkModule(Protocol):
    """What a sink's module offers. Importing it is cheap: a heavy client is imported only inside `build` or later."""

    Options: type[SinkOptions]

    def build(self, options: SinkOptions) -> Sink:
        """Make the sink; nothing is opened before `async with`."""
        ...

    def destination(self, options: SinkOptions) -> str:
        """Name the destination, without credentials: a change under an old sink name is noticed by it."""
        ...


@dataclass(frozen=True, slots=True)
class SinkType:
    """`stores` sinks keep objects by name and get a manifest. `needs` is the import that proves that the extra is installed."""

    module: str
    promise: Promise
    stores: bool = False
    extra: str = ""
    needs: str = ""

    def load(self) -> SinkModule:
        """Import the sink's module."""
        return cast("SinkModule", importlib.import_module(self.module))

    def is_installed(self) -> bool:
        """Tell whether what the sink needs can be imported, without importing it."""
        return not self.needs or importlib.util.find_spec(self.needs) is not None


SINK_TYPES: dict[str, SinkType] = {
    "directory": SinkType("tracesidecar.sinks.directory", "exactly once", stores=True),
    "http": SinkType("tracesidecar.sinks.http", "at least once"),
    "s3": SinkType("tracesidecar.sinks.s3", "exactly once", stores=True, extra="s3", needs="boto3"),
    "stdout": SinkType("tracesidecar.sinks.stdout", "none"),
}
