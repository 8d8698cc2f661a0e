"""Which sink of the configuration has a lake, and where it lies."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tracesidecar.config import Configuration
from tracesidecar.ddl import Lake, LakeFormat
from tracesidecar.sinks import SinkOptions, lake_location_of

ANYWHERE = Lake("s3://BUCKET/PREFIX")
"""Stands for a lake where the configuration has none."""

FORMATS = ("event", "parquet")


@dataclass(frozen=True, slots=True)
class Found:
    """A sink and its lake; `sink` is None where no sink keeps objects."""

    sink: SinkOptions | None
    lake: Lake

    @property
    def has_events(self) -> bool:
        """Tell whether there are events in it, and not only lines."""
        return self.sink is not None and self.sink.format in FORMATS


def lake(configuration: Configuration, name: str | None) -> Found | None:
    """The lake of the sink of that name, else of the first with events, else of the first store;
    None where there is none of that name.
    """
    located = [(sink, lake_location_of(sink)) for sink in configuration.sink]
    kept = [
        Found(sink, _lake(sink, location))
        for sink, location in located
        if location is not None and name in {None, sink.name}
    ]
    if not kept:
        return Found(None, ANYWHERE) if name is None else None
    return next((found for found in kept if found.has_events), kept[0])


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


def _has_files(folder: str) -> bool:
    walked: Iterable[tuple[str, list[str], list[str]]] = os.walk(folder)
    return any(names for _, _, names in walked)
