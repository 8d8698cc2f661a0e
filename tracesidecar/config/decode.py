"""Decode a table into an options struct, and collect every mistake instead of only the first."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import msgspec

from tracesidecar.config.messages import describe_type, describe_value, nearest, one_of
from tracesidecar.config.problems import KeyPath, Problem
from tracesidecar.units import Interpolated, Piece, Seconds, Secret, Size

S = TypeVar("S", bound=msgspec.Struct)


class InvalidValue(Exception):
    """The value could not be decoded; the decoder's `problems` say why."""


class OptionsDecoder:
    """Decodes tables into structs.

    `pieces` are the keys whose text came from the environment or a file, with what it consists of:
    it is never shown, and may be converted to a number.
    """

    def __init__(self, pieces: Mapping[KeyPath, tuple[Piece, ...]] | None = None) -> None:
        self.problems: list[Problem] = []
        self.pieces = pieces or {}

    def struct(self, kind: type[S], table: object, path: KeyPath) -> S:
        """Decode one table. Raise InvalidValue after collecting every mistake in it."""
        if not isinstance(table, dict):
            raise self._invalid(path, f"expected a table, found {describe_value(table)}")
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        tag = kind.__struct_config__.tag_field
        is_complete = True
        values: dict[str, object] = {}
        for key in table.keys() - fields.keys() - {tag}:
            self.problems.append(Problem((*path, key), describe_unknown_key(key, tuple(fields))))
            is_complete = False
        for name, field in fields.items():
            try:
                if name in table:
                    values[field.name] = self.value(field.type, table[name], (*path, name))
                elif field.required:
                    self.problems.append(
                        Problem(
                            path,
                            f'the key "{name}" is missing; it takes {describe_type(field.type)}',
                        )
                    )
                    is_complete = False
            except InvalidValue:
                is_complete = False
        if not is_complete:
            raise InvalidValue
        return self._build(kind, values, path)

    def value(self, kind: object, value: object, path: KeyPath) -> object:
        """Decode one value: tables and lists of tables key by key, anything else at once."""
        choices = _structs(kind)
        if choices and isinstance(value, dict):
            return self.struct(self._choose(choices, value, path), value, path)
        if (
            get_origin(kind) is tuple
            and (choices := _structs(get_args(kind)[0]))
            and isinstance(value, list)
        ):
            return self._structs(choices, value, path)
        return self._leaf(kind, value, path)

    def _structs(
        self, choices: list[type[msgspec.Struct]], tables: list[object], path: KeyPath
    ) -> tuple[msgspec.Struct, ...]:
        decoded = []
        for index, table in enumerate(tables):
            try:
                decoded.append(
                    self.struct(self._choose(choices, table, (*path, index)), table, (*path, index))
                )
            except InvalidValue:
                continue
        if len(decoded) < len(tables):
            raise InvalidValue
        return tuple(decoded)

    def _choose(
        self, choices: list[type[msgspec.Struct]], table: object, path: KeyPath
    ) -> type[msgspec.Struct]:
        if len(choices) == 1 or not isinstance(table, dict):
            return choices[0]
        tag_field = cast("str", choices[0].__struct_config__.tag_field)
        by_tag = {choice.__struct_config__.tag: choice for choice in choices}
        if tag_field not in table:
            raise self._invalid(
                path, f'the key "{tag_field}" is missing; it takes {one_of(by_tag)}'
            )
        written = table[tag_field]
        if written not in by_tag:
            raise self._invalid(
                (*path, tag_field), f"expected {one_of(by_tag)}, found {describe_value(written)}"
            )
        return by_tag[written]

    def _leaf(self, kind: object, value: object, path: KeyPath) -> object:
        is_interpolated = path in self.pieces
        try:
            return msgspec.convert(
                value, cast("type[object]", kind), strict=not is_interpolated, dec_hook=read_custom
            )
        except msgspec.ValidationError:
            is_shown = not is_interpolated and "Secret" not in str(kind)
            raise self._invalid(
                path, f"expected {describe_type(kind)}, found {_culprit(value, is_shown=is_shown)}"
            ) from None

    def _build(self, kind: type[S], values: dict[str, Any], path: KeyPath) -> S:
        try:
            return kind(**values)
        except ValueError as error:
            # raised by the struct's own __post_init__, with a message for people
            words = str(error)
            first = words.split(" ", 1)[0].strip("\"'`:,")
            raise self._invalid(
                (*path, first) if first in kind.__struct_fields__ else path, words
            ) from error

    def _invalid(self, path: KeyPath, message: str) -> InvalidValue:
        self.problems.append(Problem(path, message))
        return InvalidValue()


def read_custom(kind: type, value: object) -> object:
    """Decode the value types of `units` (msgspec's dec_hook)."""
    if not isinstance(value, str):
        raise TypeError("expected a string")
    if kind is Secret:
        return Secret.of(value, value.pieces if isinstance(value, Interpolated) else (value,))
    return kind.parse(value) if issubclass(kind, Size | Seconds) else value


def describe_unknown_key(key: str, known: tuple[str, ...]) -> str:
    """Describe an unknown key: the nearest known one, and all that are allowed."""
    if key == "state_directory":  # at the end of a file it becomes a key of the last block
        return "this key belongs to the top of the file, before the first block"
    near = nearest(key, known)
    hint = f'did you mean "{near}"? ' if near else ""
    return f"unknown key; {hint}allowed are {', '.join(known)}"


def _structs(kind: object) -> list[type[msgspec.Struct]]:
    parts = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return [part for part in parts if isinstance(part, type) and issubclass(part, msgspec.Struct)]


def _culprit(value: object, *, is_shown: bool) -> str:
    """Describe the value, or the first item in a list or table that is not a string."""
    if isinstance(value, list | dict):
        odd = [
            item
            for item in (value.values() if isinstance(value, dict) else value)
            if not isinstance(item, str)
        ]
        inside = describe_value(odd[0], is_shown=is_shown) if odd else "another string"
        return f"{describe_value(value)} with {inside} in it"
    return describe_value(value, is_shown=is_shown)
