"""A sink type with a bug: `send` raises what no sink should, as often as its configuration says
or for what it names, and drops everything else.

usage: faulty_sink.py CONFIGURATION    (runs the daemon with the sink type `faulty`)
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Self

from tracesidecar import daemon
from tracesidecar.config.load import load
from tracesidecar.model import Batch
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import SINK_PACKAGES
from tracesidecar.sinks.sink import SinkType


class Options(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often it fails, and which text in a record it never takes."""

    failures: int = 1
    poison: str = ""


class FaultySink:
    """Its message would be trace content."""

    def __init__(self, options: Options) -> None:
        self._left = options.failures
        self._poison = options.poison.encode()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def send(self, batch: Batch) -> None:
        """Raise an error that quotes the batch, as often as the options say."""
        if self._left:
            self._left -= 1
            raise ValueError(batch.records[0].body)
        for record in batch.records:
            if self._poison and self._poison in record.body:
                raise ValueError(record.body)


def build(options: Options) -> FaultySink:
    """Make the sink."""
    return FaultySink(options)


def destination(options: Options) -> str:
    """Return the name of where it delivers."""
    return f"faulty:{options.name}"


SINK_TYPE = SinkType(
    name="faulty",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="none",
)

if __name__ == "__main__":
    SINK_PACKAGES["faulty"] = "faulty_sink"
    sys.exit(daemon.run(load(sys.argv[1], os.environ)))
