"""Make a sink for each source of those stores whose prefix has `{source}` in it.

Each tenant's prefix is a lake of its own then, with its own manifests, and nobody who may read one
of them sees anything of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from tracesidecar.config.problems import Problem
from tracesidecar.config.schema import Configuration
from tracesidecar.sinks import SinkOptions

_FOLDER_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]+")
"""An identity that is one step of an object's name, and cannot pass for that of another source."""


def separate_tenants(configuration: Configuration) -> Configuration:
    """Return the configuration with one sink, `NAME-SOURCE`, for each source of such a store."""
    sinks: list[SinkOptions] = []
    for sink in configuration.sink:
        narrowed = [
            sink.narrow_to(source.name, source.identity)
            for source in configuration.source
            if sink.takes(source.name)
        ]
        sinks += narrowed if sink.separates_sources else [sink]
    return msgspec.structs.replace(configuration, sink=tuple(sinks))


def find_mixed_tenants(configuration: Configuration) -> Iterator[Problem]:
    """Yield what keeps sources from having a prefix and a sink of their own."""
    taken = {sink.name for sink in configuration.sink}
    for index, sink in enumerate(configuration.sink):
        for source in configuration.source if sink.separates_sources else ():
            if not sink.takes(source.name):
                continue
            name = sink.narrow_to(source.name, source.identity).name
            if not _FOLDER_NAME.fullmatch(source.identity):
                message = (
                    f'"{source.identity}" cannot stand for {{source}}: use letters, digits, '
                    f'hyphens, underscores and dots in the name or id of source "{source.name}"'
                )
                yield Problem(("sink", index, "prefix"), message)
            elif name in taken:
                message = (
                    f'the sink for source "{source.name}" would be named "{name}", as another one '
                    "is; choose other names"
                )
                yield Problem(("sink", index, "name"), message)
            taken.add(name)
