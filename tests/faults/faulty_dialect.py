"""A mapper with bugs: it gives lines with certain words what no format can write.

usage: faulty_dialect.py CONFIGURATION    (runs `ship --once` with it in place of `generic`)
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from dataclasses import replace

from tracesidecar import cli
from tracesidecar.dialects import Event, generic, registry


def map_line(data: bytes, state: generic.State) -> Sequence[Event]:
    """Map a line as `generic` does, but for `no day` and `no text`."""
    events = generic.DIALECT.map_line(data, state)
    for event in events:
        if b"no day" in data:
            event.event_time = "2025-W01-1T10:00:00.000000Z"
        if b"no text" in data:
            event.text = "\ud800"
    return events


if __name__ == "__main__":
    module = types.ModuleType("tracesidecar.dialects.faulty")
    module.__dict__["DIALECT"] = replace(generic.DIALECT, map_line=map_line)
    sys.modules[module.__name__] = module
    registry._MODULES["generic"] = "faulty"
    registry.load_dialect.cache_clear()
    sys.exit(cli.main(["--config", sys.argv[1], "ship", "--once"]))
