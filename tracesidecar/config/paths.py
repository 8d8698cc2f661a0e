"""Default directories, and every path of a configuration made absolute."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from tracesidecar.config.problems import KeyPath, Problem
from tracesidecar.journal import passes
from tracesidecar.tail import GlobPattern, escape_glob

_UNIX = "unix:"


def home(environ: Mapping[str, str]) -> str:
    """Return the user's home directory."""
    return environ.get("HOME") or os.path.expanduser("~")


def default_state_directory(environ: Mapping[str, str]) -> str:
    """Return the first of `$STATE_DIRECTORY` (systemd sets it), else the user's state directory."""
    if given := environ.get("STATE_DIRECTORY", "").split(":", 1)[0]:
        return given
    return os.path.join(
        environ.get("XDG_STATE_HOME") or os.path.join(home(environ), ".local", "state"),
        "tracesidecar",
    )


def default_lake(environ: Mapping[str, str]) -> str:
    """Return the directory that the embedded default ships to."""
    return os.path.join(
        environ.get("XDG_DATA_HOME") or os.path.join(home(environ), ".local", "share"),
        "tracesidecar",
        "lake",
    )


def rules_cache(environ: Mapping[str, str]) -> str:
    """Return where reading commands cache compiled rules.

    The daemon keeps its own cache in its state directory.
    """
    return os.path.join(
        environ.get("XDG_CACHE_HOME") or os.path.join(home(environ), ".cache"),
        "tracesidecar",
        "rules",
    )


def absolute(path: str, folder: str, environ: Mapping[str, str]) -> str:
    """Make a path absolute: `~/` from the user's home, anything else relative from `folder`."""
    if path == "~" or path.startswith("~/"):
        path = home(environ) + path[1:]
    return os.path.normpath(os.path.join(folder, path))


def absolute_pattern(pattern: str, folder: str, environ: Mapping[str, str]) -> str:
    """Make a pattern absolute, as `absolute`; in `folder` and the home nothing is a wildcard."""
    if pattern == "~" or pattern.startswith("~/"):
        pattern = escape_glob(home(environ)) + pattern[1:]
    return os.path.normpath(os.path.join(escape_glob(folder), pattern))


def find_watched_directory(pattern: str) -> str:
    """Return the directory that contains everything a pattern can match.

    It is the part of the pattern before its first wildcard.
    """
    return GlobPattern.parse(pattern).root if pattern else "/"


def is_pattern(path: str) -> bool:
    """Return whether a path contains a wildcard."""
    return not GlobPattern.parse(path).is_literal


def is_within(path: str, directory: str) -> bool:
    """Return whether a path is the directory or lies below it, following symbolic links."""
    inner, outer = os.path.realpath(path), os.path.realpath(directory)
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")


@dataclass(slots=True)
class PathResolver:
    """Makes the paths of one document absolute, and collects the files that cannot be read.

    `folder` is the directory of the configuration file: relative paths start there.
    """

    folder: str
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def document(self, document: Mapping[str, object]) -> dict[str, object]:
        """Return a copy of the document with absolute paths; other values are unchanged."""
        resolved = {key: self._top(key, value) for key, value in document.items()}
        for key, resolve in (("source", self._source), ("sink", self._sink)):
            blocks = document.get(key)
            if isinstance(blocks, list):
                resolved[key] = [
                    resolve(block, (key, index)) if isinstance(block, dict) else block
                    for index, block in enumerate(blocks)
                ]
        return resolved

    def _top(self, key: str, value: object) -> object:
        if key == "state_directory":
            return self._path(value)
        if (
            key == "daemon"
            and isinstance(value, dict)
            and str(value.get("listen", "")).startswith(_UNIX)
        ):
            return {
                **value,
                "listen": _UNIX
                + absolute(value["listen"].removeprefix(_UNIX), self.folder, self.environ),
            }
        return value

    def _source(self, block: Mapping[str, object], _path: KeyPath) -> dict[str, object]:
        resolved = dict(block)
        for key in ("include", "exclude"):
            patterns = block.get(key)
            if isinstance(patterns, list):
                resolved[key] = [
                    self._exclude(pattern) if key == "exclude" else self._pattern(pattern)
                    for pattern in patterns
                ]
        if "hold_directory" in block:
            resolved["hold_directory"] = self._path(block["hold_directory"])
        return resolved

    def _sink(self, block: Mapping[str, object], path: KeyPath) -> dict[str, object]:
        resolved = {key: self._file_keys(key, value, (*path, key)) for key, value in block.items()}
        if block.get("type") == "directory" and "path" in block:
            resolved["path"] = self._path(block["path"])
        return resolved

    def _file_keys(self, key: str, value: object, path: KeyPath) -> object:
        """Resolve every `…_file` key of a sink: credentials and certificates, which must exist."""
        if isinstance(value, dict):
            return {
                inner: self._file_keys(inner, item, (*path, inner)) for inner, item in value.items()
            }
        if not key.endswith("_file") or not isinstance(value, str):
            return value
        file = absolute(value, self.folder, self.environ)
        if error := _find_passing_error(file):
            message = f'the file "{file}" cannot be read: {error.strerror}'
            self.problems.append(Problem(path, message, may_pass=True))
        elif not os.path.isfile(file):
            self.problems.append(
                Problem(path, f'the file "{file}" does not exist; create it, or correct the path')
            )
        elif not os.access(file, os.R_OK):
            self.problems.append(Problem(path, f'the file "{file}" cannot be read by this user'))
        return file

    def _exclude(self, pattern: object) -> object:
        """Resolve an exclude only if it starts like a path: a bare pattern matches anywhere."""
        is_place = isinstance(pattern, str) and pattern.startswith(("./", "../", "~/"))
        return self._pattern(pattern) if is_place else pattern

    def _pattern(self, value: object) -> object:
        return (
            absolute_pattern(value, self.folder, self.environ)
            if isinstance(value, str) and value
            else value
        )

    def _path(self, value: object) -> object:
        return (
            absolute(value, self.folder, self.environ)
            if isinstance(value, str) and value
            else value
        )


def _find_passing_error(file: str) -> OSError | None:
    """Return why a file cannot be reached now, None if it can, or never can."""
    try:
        os.stat(file)
    except OSError as error:
        return error if passes(error) else None
    return None
