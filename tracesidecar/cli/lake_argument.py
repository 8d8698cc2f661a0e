"""Which sink of the configuration has a lake, and where it lies."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

from tracesidecar.config.schema import Configuration
from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import SINK_TYPES

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


def stores(configuration: Configuration) -> list[SinkOptions]:
    """The sinks that keep objects by name."""
    return [sink for sink in configuration.sink if SINK_TYPES[sink.type].takes == "objects"]


def lake(configuration: Configuration, name: str | None) -> Found | None:
    """The lake of the sink of that name, else of the first with events, else of the first store;
    None where there is none of that name.
    """
    kept = stores(configuration)
    if name is not None:
        kept = [sink for sink in kept if sink.name == name]
        if not kept:
            return None
    chosen = next((sink for sink in kept if sink.format in FORMATS), kept[0] if kept else None)
    return Found(chosen, _lake(chosen)) if chosen is not None else Found(None, ANYWHERE)


def _lake(sink: SinkOptions) -> Lake:
    formats: tuple[LakeFormat, ...] = (
        ("parquet",) if sink.format == "parquet" else ("json", "parquet")
    )
    return Lake(_location(sink), formats=formats)


def _location(sink: SinkOptions) -> str:
    if sink.type == "directory":
        return os.path.abspath(cast("str", getattr(sink, "path")))  # noqa: B009 - each type has its own options
    scheme = {"s3": "s3", "gcs": "gs"}.get(sink.type, sink.type)
    place = [str(getattr(sink, key, "")).strip("/") for key in ("bucket", "container", "prefix")]
    return f"{scheme}://{'/'.join(part for part in place if part)}"


def with_objects(lake: Lake) -> Lake:
    """Leave out the formats that a local lake has no object of yet, unless it has none at all."""
    if "://" in lake.location:
        return replace(lake, formats=lake.formats[:1])
    there = tuple(form for form in lake.formats if _has_files(lake.prefix(form)))
    return replace(lake, formats=there or lake.formats[:1])


def _has_files(folder: str) -> bool:
    walked: Iterable[tuple[str, list[str], list[str]]] = os.walk(folder)
    return any(names for _, _, names in walked)
