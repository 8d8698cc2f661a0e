"""Judge what no single key can show: names that clash, sources that do not exist, directories inside each other."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tracesidecar.collect.options import SourceOptions
from tracesidecar.config.places import is_pattern, is_within, watched_directory
from tracesidecar.config.problems import Problem
from tracesidecar.config.schema import Configuration
from tracesidecar.config.wording import nearest, one_of


def contradictions(configuration: Configuration) -> Iterator[Problem]:
    """Yield every contradiction within a configuration and between it and the file system."""
    for key, blocks in (("source", configuration.source), ("sink", configuration.sink)):
        yield from _names(key, [block.name for block in blocks])
    yield from _unknown_sources(configuration)
    for index, source in enumerate(configuration.source):
        for position, pattern in enumerate(source.include):
            path = ("source", index, "include", position)
            yield from (Problem(path, message) for message in _watched(pattern, configuration))
        if not source.include:
            yield Problem(("source", index, "include"), "the list is empty; it takes at least one path or pattern")
    if trouble := _unusable(configuration.state_directory):
        yield Problem(("state_directory",), trouble)


def absent_directories(configuration: Configuration) -> Iterator[Problem]:
    """Yield the watched directories that are not there yet: no mistake, an agent may make them later."""
    for index, source in enumerate(configuration.source):
        for position, pattern in enumerate(source.include):
            directory = watched_directory(pattern)
            if not os.path.lexists(directory):
                message = f'the directory "{directory}" of source "{source.name}" does not exist (yet)'
                yield Problem(("source", index, "include", position), message)


def _names(key: str, names: list[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if not name:
            yield Problem((key, index, "name"), "the name is empty")
        elif name in names[:index]:
            yield Problem((key, index, "name"), f'two {key}s are named "{name}"; each needs a name of its own')


def _unknown_sources(configuration: Configuration) -> Iterator[Problem]:
    known = tuple(source.name for source in configuration.source)
    for index, sink in enumerate(configuration.sink):
        for position, name in enumerate(sink.sources):
            if name not in known:
                near = nearest(name, known)
                hint = f'; did you mean "{near}"?' if near else ""
                message = f'sink "{sink.name}" names the source "{name}", which does not exist: expected {one_of(known)}{hint}'
                yield Problem(("sink", index, "sources", position), message)


def _watched(pattern: str, configuration: Configuration) -> Iterator[str]:
    directory = watched_directory(pattern)
    yield from _unreadable(pattern)
    state = configuration.state_directory
    if is_within(directory, state):
        yield f'the watched directory "{directory}" lies inside the state directory "{state}"; keep them apart'
    elif is_pattern(pattern) and is_within(state, directory):
        yield f'the state directory "{state}" lies inside the watched directory "{directory}"; keep them apart'


def _unreadable(pattern: str) -> Iterator[str]:
    directory = watched_directory(pattern)
    if not is_pattern(pattern) and os.path.isdir(pattern):
        yield f'"{pattern}" is a directory; write which files are meant, such as "{pattern}/**/*.jsonl"'
    elif os.path.lexists(directory) and not os.path.isdir(directory):
        yield f'"{directory}" is not a directory'
    elif is_pattern(pattern) and os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK):
        yield f'the directory "{directory}" cannot be read by this user; grant it read and search permission'
    elif not is_pattern(pattern) and os.path.exists(pattern) and not os.access(pattern, os.R_OK):
        yield f'the file "{pattern}" cannot be read by this user; grant it read permission'


def _unusable(directory: str) -> str | None:
    """Say why the state directory can not be made or written, None when it can."""
    place = directory
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        return f'"{place}" is not a directory'
    if not os.access(place, os.W_OK | os.X_OK):
        return f'the state directory "{directory}" cannot be written: this user may not write to "{place}"'
    return None
