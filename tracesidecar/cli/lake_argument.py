"""The sink that a command names, if it keeps objects: its lake, and whether it can be read back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace

from tracesidecar.cli.output import complain
from tracesidecar.config import Configuration
from tracesidecar.ddl import Lake, LakeFormat
from tracesidecar.errors import StateError
from tracesidecar.journal import Journal
from tracesidecar.sanitize import printable
from tracesidecar.sinks import (
    SinkOptions,
    StoredObjects,
    lake_location_of,
    open_stored_objects,
    sink_type,
)

ANYWHERE = Lake("s3://BUCKET/PREFIX")
"""A placeholder for configurations without a lake."""

FORMATS = ("event", "parquet")


@dataclass(frozen=True, slots=True)
class LakeArgument:
    """A sink and its lake; `sink` is None if no sink keeps objects."""

    sink: SinkOptions | None
    lake: Lake

    @property
    def has_events(self) -> bool:
        """Whether the lake has events, and not only lines."""
        return self.sink is not None and self.sink.format in FORMATS


def find_lake(configuration: Configuration, name: str | None) -> LakeArgument | None:
    """Return the lake of the sink with that name, None if it has none.

    Without a name: of the first sink that ships events, else of the first that keeps objects.
    """
    located = [(sink, lake_location_of(sink)) for sink in configuration.sink]
    kept = [
        LakeArgument(sink, _lake(sink, location))
        for sink, location in located
        if location is not None and name in {None, sink.name}
    ]
    if not kept:
        return LakeArgument(None, ANYWHERE) if name is None else None
    return next((lake for lake in kept if lake.has_events), kept[0])


def _lake(sink: SinkOptions, location: str) -> Lake:
    formats: tuple[LakeFormat, ...] = (
        ("parquet",) if sink.format == "parquet" else ("json", "parquet")
    )
    return Lake(location, formats=formats)


def with_objects(lake: Lake) -> Lake:
    """Leave out the formats that a local lake has no object of yet, unless it has none at all."""
    if "://" in lake.location:
        return replace(lake, formats=lake.formats[:1])
    there = tuple(form for form in lake.formats if _has_files(lake.prefix(form)))
    return replace(lake, formats=there or lake.formats[:1])


def readable_sink(configuration: Configuration, name: str, command: str) -> SinkOptions | None:
    """Return the sink with that name if it can be read back; else report which can, return None."""
    readable = {
        sink.name: sink
        for sink in configuration.sink
        if sink_type(sink.type).stored_objects is not None
    }
    if name not in readable:
        complain(
            f"tracesidecar {command}: {printable(name)} is not a sink that can be read back; "
            f"of this configuration can: {', '.join(sorted(readable)) or 'none'}"
        )
    return readable.get(name)


def open_readable(sink: SinkOptions) -> StoredObjects:
    """Open what a sink that `readable_sink` has returned keeps; close it after use."""
    store = open_stored_objects(sink)
    if store is None:
        raise AssertionError("this sink cannot be read back")
    return store


def find_objects_being_sent(configuration: Configuration, sink: str) -> frozenset[str]:
    """Return the names of the objects that this machine is sending, none if it never ran."""
    try:
        journal = Journal.open_to_read(configuration.state_directory)
    except StateError:
        return frozenset()
    with closing(journal):
        return frozenset(each.name for plan in journal.plans.load(sink) for each in plan.objects)


def _has_files(folder: str) -> bool:
    walked: Iterable[tuple[str, list[str], list[str]]] = os.walk(folder)
    return any(names for _, _, names in walked)
