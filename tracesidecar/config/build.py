"""Build a configuration from a parsed document: defaults, absolute paths, sinks by type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import msgspec

from tracesidecar.config.decode import InvalidValue, OptionsDecoder, describe_unknown_key
from tracesidecar.config.messages import describe_type, describe_value, nearest, one_of
from tracesidecar.config.paths import PathResolver, absolute, default_state_directory
from tracesidecar.config.problems import KeyPath, Problem
from tracesidecar.config.schema import Configuration, DaemonOptions, QuarantineOptions
from tracesidecar.encode import Format
from tracesidecar.extras import install_command
from tracesidecar.journal import find_state_directory
from tracesidecar.sanitize import RedactionOptions
from tracesidecar.sinks import SINK_PACKAGES, SinkOptions, sink_type
from tracesidecar.tail import SourceOptions
from tracesidecar.units import Interpolated

_TABLES = {"daemon": DaemonOptions, "redaction": RedactionOptions, "quarantine": QuarantineOptions}
_KEYS = ("state_directory", "daemon", "source", "redaction", "quarantine", "sink")


class ConfigurationBuilder:
    """Builds the configuration of one document.

    `folder` is the directory of the configuration file: relative paths start there.
    """

    def __init__(self, decoder: OptionsDecoder, folder: str, environ: Mapping[str, str]) -> None:
        self._decoder = decoder
        self._folder = folder
        self._environ = environ

    def build(self, document: dict[str, object]) -> Configuration | None:
        """Return the configuration, or None: then the decoder's `problems` say why."""
        before = len(self._decoder.problems)
        for key in document.keys() - set(_KEYS):
            self._problem((key,), describe_unknown_key(key, _KEYS))
        resolver = PathResolver(self._folder, self._environ, self._decoder.problems)
        document = resolver.document(document)
        parts: dict[str, object] = {
            key: self._table(document, key) for key in _TABLES if key in document
        }
        parts["state_directory"] = self._state_directory(document)
        parts["source"] = self._blocks(document, "source", "what to follow")
        parts["sink"] = self._blocks(document, "sink", "where to ship to")
        return None if len(self._decoder.problems) > before else Configuration(**parts)  # type: ignore[arg-type]

    def _problem(self, path: KeyPath, message: str) -> None:
        self._decoder.problems.append(Problem(path, message))

    def _table(self, document: Mapping[str, object], key: str) -> object:
        try:
            return self._decoder.value(_TABLES[key], document[key], (key,))
        except InvalidValue:
            return None

    def _state_directory(self, document: Mapping[str, object]) -> str | None:
        given = document.get("state_directory", default_state_directory(self._environ))
        if isinstance(given, str) and given:
            return find_state_directory(absolute(given, self._folder, self._environ))
        self._problem(
            ("state_directory",), f"expected the path of a directory, found {describe_value(given)}"
        )
        return None

    def _blocks(self, document: Mapping[str, object], key: str, purpose: str) -> tuple[object, ...]:
        blocks = document.get(key)
        if not blocks:
            self._problem((key,), f"there is no [[{key}]] block: at least one must say {purpose}")
            return ()
        if not isinstance(blocks, list):
            self._problem(
                (key,),
                f"expected blocks that begin with [[{key}]], found {describe_value(blocks)}; "
                "write two brackets",
            )
            return ()
        decode = self._sink if key == "sink" else self._source
        return tuple(decode(block, (key, index)) for index, block in enumerate(blocks))

    def _source(self, block: object, path: KeyPath) -> SourceOptions | None:
        try:
            return self._decoder.struct(SourceOptions, block, path)
        except InvalidValue:
            return None

    def _sink(self, block: object, path: KeyPath) -> SinkOptions | None:
        known = tuple(sorted(SINK_PACKAGES))
        written = block.get("type") if isinstance(block, dict) else None
        if written is None:
            self._problem(path, f'the key "type" is missing; it takes {one_of(known)}')
            return None
        if written not in known:
            near = nearest(str(written), known)
            hint = f'; did you mean "{near}"?' if near else ""
            self._problem(
                (*path, "type"),
                f"unknown sink type: expected {one_of(known)}, "
                f"found {describe_value(written)}{hint}",
            )
            return None
        chosen = sink_type(written)
        if not chosen.is_installed():
            self._problem(
                (*path, "type"),
                f'"{written}" is not installed; run: {install_command(chosen.extra)}',
            )
            return None
        try:
            return self._decoder.struct(chosen.options, self._mark(block, path), path)
        except InvalidValue:
            self._explain_format(written, chosen.options, block, path)
            return None

    def _mark(self, value: object, path: KeyPath) -> object:
        """Mark the texts of a sink in which values from elsewhere stand, to mask them.

        What every sink has (its name, its sources) names things, and is shown.
        """
        if isinstance(value, dict):
            return {
                key: item
                if key in SinkOptions.__struct_fields__ and len(path) == len(("sink", 0))
                else self._mark(item, (*path, key))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._mark(item, (*path, index)) for index, item in enumerate(value)]
        pieces = self._decoder.pieces.get(path)
        return Interpolated.of(value, pieces) if isinstance(value, str) and pieces else value

    def _explain_format(
        self, sink: str, options: type[SinkOptions], block: object, path: KeyPath
    ) -> None:
        """Replace the problem of a format that exists, such as "parquet", but not for this type."""
        written = block.get("format") if isinstance(block, dict) else None
        if written not in get_args(Format):
            return
        (takes,) = (
            describe_type(field.type)
            for field in msgspec.structs.fields(options)
            if field.name == "format"
        )
        message = f'a sink of type {sink} does not take the format "{written}": expected {takes}'
        problems = self._decoder.problems
        problems[:] = [
            Problem(problem.path, message) if problem.path == (*path, "format") else problem
            for problem in problems
        ]
