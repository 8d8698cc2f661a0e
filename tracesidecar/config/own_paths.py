"""Where the program itself writes under a configuration: nothing there is a trace."""

from __future__ import annotations

import os

from tracesidecar.config.paths import find_watched_directory, is_within
from tracesidecar.config.schema import Configuration
from tracesidecar.sinks import SinkOptions

_OBJECT_FOLDERS = ("v1", "raw", "_manifest", "parquet")
"""What a lake has below its folder, which may have the traces beside it."""

_DATABASE_ENDINGS = ("", "-wal", "-shm", "-journal", ".wal")
"""SQLite's files beside the database, and DuckDB's."""


def list_own_paths(configuration: Configuration) -> list[str]:
    """Return the directories and files that hold state and output, there or not."""
    paths = [configuration.state_directory]
    for sink in configuration.sink:
        paths += _output_of(sink, configuration)
    return paths


def _output_of(sink: SinkOptions, configuration: Configuration) -> list[str]:
    given = getattr(sink, "path", None)
    if not isinstance(given, str):
        return []
    path = os.path.abspath(given)
    if sink.type != "directory":
        return [path + ending for ending in _DATABASE_ENDINGS]
    watched = (
        find_watched_directory(pattern)
        for source in configuration.source
        for pattern in source.include
        if pattern
    )
    if any(is_within(directory, path) for directory in watched):
        return [os.path.join(path, folder) for folder in _OBJECT_FOLDERS]
    return [path]
