"""Where the program itself writes under a configuration: nothing there is a trace."""

from __future__ import annotations

import os

from tracesidecar.config.paths import find_watched_directory, is_within
from tracesidecar.config.schema import Configuration
from tracesidecar.journal import STATE_NAMES

_OBJECT_FOLDERS = ("v1", "raw", "_manifest", "parquet")
"""What a lake has below its folder, which may have the traces beside it."""


def list_own_paths(configuration: Configuration) -> list[str]:
    """Return the directories and files that hold state and output, there or not.

    What is in the state directory is named, too: by a hard link it may have a second place.
    """
    state = configuration.state_directory
    paths = [state, *(os.path.join(state, name) for name in sorted(STATE_NAMES))]
    watched = [
        find_watched_directory(pattern)
        for source in configuration.source
        for pattern in source.include
        if pattern
    ]
    for sink in configuration.sink:
        for path in map(os.path.abspath, sink.list_written()):
            if any(is_within(directory, path) for directory in watched):
                paths += (os.path.join(path, folder) for folder in _OBJECT_FOLDERS)
            else:
                paths.append(path)
    return paths
