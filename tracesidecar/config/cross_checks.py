"""Check what no single key shows: clashing names, unknown sources, nested directories."""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Iterator

from tracesidecar.config.messages import nearest, one_of
from tracesidecar.config.paths import find_watched_directory, is_pattern, is_within
from tracesidecar.config.problems import Problem
from tracesidecar.config.schema import Configuration
from tracesidecar.dialects import select_dialect
from tracesidecar.directories import UntrustedLink, open_trusted_directory
from tracesidecar.encode import EXTENSIONS, lake_root, partition_folder
from tracesidecar.errors import ConfigurationError
from tracesidecar.extras import install_command
from tracesidecar.journal import parse_recipient, passes
from tracesidecar.sanitize import (
    AllowedPaths,
    CustomRules,
    KeyMatcher,
    RedactionOptions,
    active_rules,
    load_catalogue,
)
from tracesidecar.sinks import destination_key_of
from tracesidecar.tail import Exclusions, find_user, unescape_glob


def contradictions(configuration: Configuration) -> Iterator[Problem]:
    """Yield every contradiction within a configuration and between it and the file system."""
    for key, blocks in (("source", configuration.source), ("sink", configuration.sink)):
        yield from _names(key, [block.name for block in blocks])
    yield from _source_ids(configuration)
    yield from _find_unknown_sources(configuration)
    for index, source in enumerate(configuration.source):
        for position, pattern in enumerate(source.include):
            path = ("source", index, "include", position)
            yield from (Problem(path, message) for message in _list_watched(pattern, configuration))
        if not source.include:
            yield Problem(
                ("source", index, "include"),
                "the list is empty; it takes at least one path or pattern",
            )
    yield from _owners(configuration)
    yield from _dialects(configuration)
    yield from _formats(configuration)
    yield from _own_output(configuration)
    yield from _redaction(configuration.redaction)
    if seal_to := configuration.quarantine.seal_to:
        try:
            parse_recipient(seal_to)
        except ConfigurationError as error:
            yield Problem(("quarantine", "seal_to"), str(error))
    if trouble := _unusable(configuration.state_directory):
        yield Problem(("state_directory",), trouble)


def unavailable_directories(configuration: Configuration) -> Iterator[Problem]:
    """Yield the watched directories that do not exist yet, or cannot be read now.

    That is no mistake: an agent may create them later, and a disk or a server may come back.
    """
    for index, source in enumerate(configuration.source):
        for position, pattern in enumerate(source.include):
            directory = find_watched_directory(pattern)
            if trouble := _describe_absence(directory):
                message = f'the directory "{directory}" of source "{source.name}" {trouble}'
                yield Problem(("source", index, "include", position), message)


def find_shared_destinations(configuration: Configuration) -> Iterator[Problem]:
    """Yield the sinks that send the same lines to the same place as another one.

    That is no mistake where somebody wants it; each line is there twice.
    """
    names = [source.name for source in configuration.source]
    seen: dict[tuple[str, str], list[tuple[str, frozenset[str]]]] = {}
    for index, sink in enumerate(configuration.sink):
        sources = frozenset(sink.sources or names)
        others = seen.setdefault((destination_key_of(sink), str(sink.format)), [])
        for other, taken in others:
            if shared := sorted(sources & taken):
                message = (
                    f'sinks "{other}" and "{sink.name}" write to the same place in the same format '
                    f'what source "{shared[0]}" has: each of its lines is there twice'
                )
                yield Problem(("sink", index, "name"), message)
        others.append((sink.name, sources))


def _describe_absence(directory: str) -> str | None:
    try:
        os.stat(directory)
    except OSError as error:
        return f"cannot be read now: {error.strerror}" if passes(error) else "does not exist (yet)"
    return None


def _names(key: str, names: list[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if not name:
            yield Problem((key, index, "name"), "the name is empty")
        elif name in names[:index]:
            yield Problem(
                (key, index, "name"), f'two {key}s are named "{name}"; give each its own name'
            )


def _source_ids(configuration: Configuration) -> Iterator[Problem]:
    for index, source in enumerate(configuration.source):
        if source.id == "":
            yield Problem(("source", index, "id"), "the id is empty")
        same = next(
            (
                other.name
                for other in configuration.source
                if other.name != source.name and other.identity == source.identity
            ),
            None,
        )
        if source.id and same is not None:
            message = (
                f'source "{same}" has the id "{source.id}" too (the id is the name by default); '
                "give each its own id"
            )
            yield Problem(("source", index, "id"), message)


def _owners(configuration: Configuration) -> Iterator[Problem]:
    for index, source in enumerate(configuration.source):
        for position, owner in enumerate(source.owners):
            if find_user(owner) is None:
                message = f'there is no user "{owner}"; give a name or a number'
                yield Problem(("source", index, "owners", position), message)


def _find_unknown_sources(configuration: Configuration) -> Iterator[Problem]:
    known = tuple(source.name for source in configuration.source)
    for index, sink in enumerate(configuration.sink):
        for position, name in enumerate(sink.sources):
            if name not in known:
                near = nearest(name, known)
                hint = f'; did you mean "{near}"?' if near else ""
                message = (
                    f'sink "{sink.name}" names the source "{name}", which does not exist: '
                    f"expected {one_of(known)}{hint}"
                )
                yield Problem(("sink", index, "sources", position), message)


def _dialects(configuration: Configuration) -> Iterator[Problem]:
    for index, source in enumerate(configuration.source):
        try:
            select_dialect(source.dialect)
        except ConfigurationError as error:
            yield Problem(("source", index, "dialect"), str(error))


def _formats(configuration: Configuration) -> Iterator[Problem]:
    """Check format and content together, and the extra that Parquet needs."""
    for index, sink in enumerate(configuration.sink):
        if sink.format == "raw" and sink.content not in (None, "full"):
            message = (
                f'content = "{sink.content}" would leave nothing of the format "raw"; '
                'choose another format, such as "event", or content = "full"'
            )
            yield Problem(("sink", index, "content"), message)
        elif sink.format == "parquet" and importlib.util.find_spec("pyarrow") is None:
            yield Problem(
                ("sink", index, "format"),
                f'the format "parquet" needs an extra; run: {install_command("parquet")}',
            )


def _own_output(configuration: Configuration) -> Iterator[Problem]:
    """Find a sink whose objects match an include: it would ship its own output without end."""
    for index, sink in enumerate(configuration.sink):
        folder = getattr(sink, "path", None)
        if sink.type != "directory" or not isinstance(folder, str):
            continue
        extension = ".parquet" if sink.format == "parquet" else EXTENSIONS[sink.compression]
        partition = partition_folder(lake_root(sink.format), "2026-01-31")
        produced = f"{folder}/{partition}/host-20260131T000000Z-0{extension}"
        for source in configuration.source:
            include = next(
                (
                    pattern
                    for pattern in source.include
                    if pattern and produced in Exclusions((pattern,))
                ),
                None,
            )
            if include is not None and produced not in Exclusions(source.exclude):
                message = (
                    f'what this sink writes to "{folder}" is matched by "{include}" of source '
                    f'"{source.name}"; keep them apart, or exclude it'
                )
                yield Problem(("sink", index, "path"), message)


def _redaction(options: RedactionOptions) -> Iterator[Problem]:
    """Check the redaction options with the code that uses them.

    Reading the rule catalogue takes time, so it is read only if an option refers to it.
    """
    for index, entry in enumerate(options.allow):
        try:
            AllowedPaths((entry,))
        except ConfigurationError as error:
            yield Problem(("redaction", "allow", index), str(error).partition(": ")[2])
    if options == RedactionOptions(
        hmac_key=options.hmac_key, allow=options.allow, test=options.test, pii=options.pii is True
    ):
        return
    catalogue = load_catalogue()
    try:
        active_rules(catalogue, options)
        KeyMatcher(catalogue.keys, options.key_names)
    except ConfigurationError as error:
        key, _, message = str(error).partition(": ")
        yield Problem(tuple(key.split(".")), message)
    taken = [rule.id for rule in catalogue.rule]
    for index, rule in enumerate(options.rule):
        try:
            CustomRules((rule,), taken)
        except ConfigurationError as error:
            message = str(error).partition(": ")[2]
            yield Problem(
                ("redaction", "rule", index, "id" if message.startswith("the id") else "regex"),
                message,
            )
        taken.append(rule.id)


def _list_watched(pattern: str, configuration: Configuration) -> Iterator[str]:
    directory = find_watched_directory(pattern)
    yield from _unreadable(pattern)
    state = configuration.state_directory
    if is_within(directory, state):
        yield (
            f'the watched directory "{directory}" lies inside the state directory "{state}"; '
            "keep them apart"
        )
    elif is_pattern(pattern) and is_within(state, directory):
        yield (
            f'the state directory "{state}" lies inside the watched directory "{directory}"; '
            "keep them apart"
        )


def _unreadable(pattern: str) -> Iterator[str]:
    """Check that the directory before the first wildcard, or the one file, can be read.

    Something that does not exist yet is no mistake.
    """
    is_file = not is_pattern(pattern)
    place = unescape_glob(pattern) if is_file else find_watched_directory(pattern)
    kind = "file" if is_file else "directory"
    if not pattern:
        yield "the pattern is empty"
        return
    try:
        mode = os.stat(place).st_mode
    except FileNotFoundError:
        return
    except NotADirectoryError:
        yield f'"{place}" cannot exist: a parent of it is not a directory'
    except OSError as error:
        if not passes(error):
            yield f'the {kind} "{place}" cannot be read: {error.strerror}'
    else:
        if is_file and stat.S_ISDIR(mode):
            yield (
                f'"{place}" is a directory; write which files are meant, '
                f'such as "{place}/**/*.jsonl"'
            )
        elif not is_file and not stat.S_ISDIR(mode):
            yield f'"{place}" is not a directory'
        elif not _allows(place, os.R_OK if is_file else os.R_OK | os.X_OK):
            permission = "read" if is_file else "read and search"
            yield (
                f'the {kind} "{place}" cannot be read by this user; '
                f"grant it {permission} permission"
            )


def _unusable(directory: str) -> str | None:
    """Return why the state directory cannot be created or written, or None if it can.

    What cannot be known now is left to the start, which waits for it.
    """
    place = directory
    try:
        while (mode := _find_mode(place)) is None:
            place = os.path.dirname(place)
    except OSError:
        return None
    if not stat.S_ISDIR(mode):
        return f'"{place}" is not a directory'
    if not _allows(place, os.W_OK | os.X_OK):
        return (
            f'the state directory "{directory}" cannot be written: '
            f'this user may not write to "{place}"; grant it, or set state_directory'
        )
    try:
        os.close(open_trusted_directory(place))
    except UntrustedLink:
        return (
            f'the state directory "{directory}" has a symbolic link of another user in its path: '
            "give the path that it leads to"
        )
    except OSError:  # left to the start, too
        return None
    return None


def _find_mode(path: str) -> int | None:
    """Return the mode of what is at a path: None if nothing is, 0 if a link leads nowhere.

    Raise OSError if that cannot be known now.
    """
    try:
        return os.stat(path).st_mode
    except OSError as error:
        if passes(error):
            raise
        return 0 if os.path.islink(path) else None


def _allows(place: str, access: int) -> bool:
    """Return whether this user may use a directory or file so, or that cannot be known now.

    access(2) also says no if a disk or a server fails, and Python does not show why.
    """
    if os.access(place, access):
        return True
    try:
        os.close(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        os.stat(os.path.join(place, "."))
    except OSError as error:
        return passes(error)
    return False
