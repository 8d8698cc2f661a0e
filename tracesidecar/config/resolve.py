"""Make the paths in a document absolute, and say which of the files that it names cannot be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from tracesidecar.config.paths import absolute
from tracesidecar.config.problems import KeyPath, Problem

_UNIX = "unix:"


@dataclass(slots=True)
class PathResolver:
    """Takes relative paths from `folder`, the one the configuration file lies in, and `~/` from the
    user's home.
    """

    folder: str
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def document(self, document: Mapping[str, object]) -> dict[str, object]:
        """Return the document with absolute paths; what is no path stays as it is."""
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
                    self._exclude(pattern) if key == "exclude" else self._path(pattern)
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
        """Resolve every `…_file` in a sink's block: credentials and certificates, whose files must
        be there.
        """
        if isinstance(value, dict):
            return {
                inner: self._file_keys(inner, item, (*path, inner)) for inner, item in value.items()
            }
        if not key.endswith("_file") or not isinstance(value, str):
            return value
        file = absolute(value, self.folder, self.environ)
        if not os.path.isfile(file):
            self.problems.append(
                Problem(path, f'the file "{file}" does not exist; it must hold what the key names')
            )
        elif not os.access(file, os.R_OK):
            self.problems.append(Problem(path, f'the file "{file}" cannot be read by this user'))
        return file

    def _exclude(self, pattern: object) -> object:
        """Leave a bare exclude alone: it may begin in any directory."""
        is_place = isinstance(pattern, str) and pattern.startswith(("./", "../", "~/"))
        return self._path(pattern) if is_place else pattern

    def _path(self, value: object) -> object:
        return (
            absolute(value, self.folder, self.environ)
            if isinstance(value, str) and value
            else value
        )
