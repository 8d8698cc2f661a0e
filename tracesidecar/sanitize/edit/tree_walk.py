"""Edit a line by its whole tree.

A cursor over the raw strings and numbers runs along, so that every node has its raw span.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TypeAlias, cast

import msgspec

from tracesidecar.redaction_marker import MARKER_START
from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.detect import LOGIN_LISTS, find_secrets
from tracesidecar.sanitize.edit.edits import Edit
from tracesidecar.sanitize.edit.line_editor import KEY_NAME_RULE, LineEditor
from tracesidecar.sanitize.rules import KeyClass

_STEPS_PER_TOKEN = 2
PAIR_RULE = "pair"
FLAG_RULE = "argv"
PRINTED_RULE = "printed-secret"
_SHORTEST_PRINTED, _LONGEST_PRINTED = 6, 512
_LONGEST_NAME = 128
_PRIVATE_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
"""The private parameters of a JSON Web Key (RFC 7518, section 6)."""
_SCHEMA_WORDS = frozenset(
    {"description", "title", "format", "pattern", "$ref", "$id", "required", "enum", "items"}
    | {"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "uniqueItems"}
)
"""Members that describe a value beside its type (JSON Schema), as in the definition of a tool."""
_LOGPROB_NAMES = frozenset({"logprob", "logprobs", "bytes"})
_SCHEMA_TYPES = frozenset({"string", "object", "array", "integer", "number", "boolean", "null"})

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | RepeatedMembers | None"
Member = tuple[str, "Json"]


class RepeatedMembers(list[Member]):
    """The members of an object that has a name twice, in order."""


def _find_descriptions(members: Collection[Member]) -> Collection[str]:
    """Return the members of a JSON Schema that say what a value may be, not what it is."""
    named = dict(members)
    kind = named.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if all(isinstance(each, str) and each in _SCHEMA_TYPES for each in kinds):
        return _SCHEMA_WORDS | {"type"}
    return _SCHEMA_WORDS if isinstance(kind or named.get("$ref"), str) else ()


class _Inherited:
    """What the keys above a value say about it."""

    __slots__ = ("is_numeric", "key_class")

    def __init__(self, key_class: KeyClass | None, *, is_numeric: bool) -> None:
        self.key_class = key_class
        self.is_numeric = is_numeric


_NOTHING_INHERITED = _Inherited(None, is_numeric=False)


def edit_tree(line: LineEditor) -> None:
    """Redact everything in the line; raise ValueError if the tree does not match the bytes."""
    tokens = [match.span() for match in patterns.STRING_OR_NUMBER.finditer(line.raw)]
    line.tools.budget.spend(_STEPS_PER_TOKEN * len(tokens))
    if not _TreeWalk(line, tokens).walk(_tree(line.raw)):
        # a decoder keeps only one of two equal names, but the bytes hold both values
        line.edits.clear()
        if not _TreeWalk(line, tokens).walk(json.loads(line.raw, object_pairs_hook=_members)):
            raise ValueError("tokens and tree disagree")


def _tree(raw: bytes) -> Json:
    try:
        tree: Json = msgspec.json.decode(raw)
    except msgspec.DecodeError:  # a number beyond a float, such as 1e400
        tree = json.loads(raw)
    return tree


def _members(pairs: list[Member]) -> dict[str, Json] | RepeatedMembers:
    members = dict(pairs)
    return members if len(members) == len(pairs) else RepeatedMembers(pairs)


class _TreeWalk:
    def __init__(self, line: LineEditor, tokens: Sequence[tuple[int, int]]) -> None:
        self._line = line
        self._keys = line.tools.keys
        self._tokens = tokens
        self._cursor = 0

    def walk(self, tree: Json) -> bool:
        """Walk the tree; return True if it accounts for every token of the line."""
        self._value(tree, _NOTHING_INHERITED)
        return self._cursor == len(self._tokens)

    def _next(self) -> tuple[int, int]:
        span = self._tokens[self._cursor]
        self._cursor += 1
        return span

    def _value(self, value: Json, under: _Inherited) -> None:
        if isinstance(value, str):
            start, end = self._next()
            if under.key_class is not None or self._line.hits.has_any_in(start, end):
                self._line.edit_string(value, start, end, under.key_class)
        elif isinstance(value, dict):
            self._object(value.items(), under)
        elif isinstance(value, RepeatedMembers):
            self._object(value, under)
        elif isinstance(value, list):
            self._array(cast("list[Json]", value), under)
        elif value is not None and not isinstance(value, bool):
            start, end = self._next()
            if (
                under.key_class is KeyClass.STRONG
                and under.is_numeric
                and not self._line.tools.detector.is_allowed(self._line.raw[start:end].decode())
            ):
                self._line.replace(start, end, KEY_NAME_RULE, self._line.raw[start:end])

    def _object(self, members: Collection[Member], under: _Inherited) -> None:
        present = {name for name, _ in members}
        values, pair = self._find_pair(members, present)
        columns = self._find_columns(members)
        described = _find_descriptions(members) if under.key_class is not None else ()
        redacted_names = 0
        for name, value in members:
            if self._name(name, redacted_names):
                redacted_names += 1
                key = self._without_secrets(name)
            else:
                key = name
            is_described = described and (name in described or name.startswith("x-kubernetes-"))
            below = _NOTHING_INHERITED if is_described else self._below(key, under, present)
            if isinstance(value, str):
                start, end = self._next()
                if (
                    name in values
                    and pair is not None
                    and self._line.is_secret(value, pair)
                    and not (values is patterns.FIELD_VALUES and patterns.BLANK.search(value))
                ):
                    self._line.replace(start, end, PAIR_RULE, value.encode())
                elif name in patterns.OUTPUT_NAMES and self._is_printed_secret(value):
                    self._line.replace(start, end, PRINTED_RULE, value.encode())
                elif below.key_class is not None or self._line.hits.has_any_in(start, end):
                    self._line.edit_string(value, start, end, below.key_class)
            elif isinstance(value, list) and columns and name in patterns.TABLE_ROWS:
                self._rows(cast("list[Json]", value), columns, below)
            elif isinstance(value, list) and name in LOGIN_LISTS and len(value) == len(("", "")):
                self._login(cast("list[Json]", value))
            elif isinstance(value, dict | list) and below.key_class in {
                KeyClass.WEAK,
                KeyClass.MAYBE,
            }:
                self._value(value, _Inherited(None, is_numeric=below.is_numeric))
            else:
                self._value(value, below)

    def _is_printed_secret(self, value: str) -> bool:
        """Return whether a value is all that a command printed which prints a secret."""
        word = value.strip()
        return (
            _SHORTEST_PRINTED <= len(word) <= _LONGEST_PRINTED
            and patterns.BLANK.search(word) is None
            and not word.startswith(("/", "{", "["))
            and self._line.is_secret(word, KeyClass.STRONG)
            and self._has_secret_command
        )

    @cached_property
    def _has_secret_command(self) -> bool:
        return patterns.SECRET_COMMAND.search(self._line.raw) is not None

    def _name(self, name: str, redacted_before: int) -> bool:
        """Redact the name itself; return True if it changed.

        Two redacted names of one object must not become equal, so later ones get a number.
        """
        start, end = self._next()
        if not self._line.hits.has_any_in(start, end):
            return False
        count = len(self._line.edits)
        self._line.edit_string(name, start, end, None)
        if len(self._line.edits) == count:
            return False
        if redacted_before:
            last = self._line.edits[-1]
            number = f"#{redacted_before + 1}".encode()
            new = last.new[:-1] + number + b'"' if last.new[:1] == b'"' else last.new + number
            self._line.edits[-1] = Edit(last.start, last.end, new, last.rules)
        return True

    def _without_secrets(self, name: str) -> str:
        """Return the name as it will be written, so that a second pass judges it the same way."""
        content, tools = name.encode(), self._line.tools
        return tools.marker.redact(content, tools.detector.find_spans(content)).decode()

    def _below(self, name: str, under: _Inherited, present: AbstractSet[str]) -> _Inherited:
        key_class = self._keys.classify(name)
        if name in _PRIVATE_PARTS and "kty" in present:
            return _Inherited(KeyClass.STRONG, is_numeric=False)
        if key_class is None or (name == "token" and not _LOGPROB_NAMES.isdisjoint(present)):
            return under
        if key_class is KeyClass.STRONG:
            return _Inherited(
                KeyClass.STRONG, is_numeric=under.is_numeric or self._keys.is_numeric(name)
            )
        return (
            under
            if under.key_class is not None
            else _Inherited(key_class, is_numeric=under.is_numeric)
        )

    def _find_pair(
        self, members: Collection[Member], present: AbstractSet[str]
    ) -> tuple[frozenset[str], KeyClass | None]:
        """Return which members a name in the object is about, and the class of the name."""
        if not patterns.PAIR_VALUES.isdisjoint(present):
            named = dict(members)
            name = next((found for key in patterns.PAIR_NAMES if (found := named.get(key))), None)
            if isinstance(name, str) and len(name) < _LONGEST_NAME:
                key_class = self._keys.classify(name)
                if key_class is not None:
                    return patterns.PAIR_VALUES, key_class
        if not patterns.FIELD_VALUES.isdisjoint(present) and not present.isdisjoint(
            patterns.FIELD_NAMES
        ):
            named = dict(members)
            fields = (named.get(key) for key in patterns.FIELD_NAMES)
            if any(
                isinstance(each, str)
                and len(each) < _LONGEST_NAME
                and patterns.FIELD_OF_SECRET.search(each) is not None
                for each in fields
            ):
                return patterns.FIELD_VALUES, KeyClass.STRONG
        return frozenset(), None

    def _find_columns(self, members: Collection[Member]) -> Sequence[KeyClass | None]:
        """Return the classes of the columns that {"columns": [...], "rows": [...]} names."""
        named = dict(members)
        columns = next(
            (found for key in patterns.TABLE_COLUMNS if isinstance(found := named.get(key), list)),
            None,
        )
        if columns is None:
            return ()
        names = [
            each.get("name") if isinstance(each, dict) else each
            for each in cast("list[Json]", columns)
        ]
        classes = [
            self._keys.classify(name) if isinstance(name, str) and name else None for name in names
        ]
        return classes if any(classes) else ()

    def _rows(
        self, rows: list[Json], columns: Sequence[KeyClass | None], under: _Inherited
    ) -> None:
        for row in rows:
            if not isinstance(row, list) or len(row) != len(columns):
                self._value(row, under)
                continue
            for item, key_class in zip(cast("list[Json]", row), columns, strict=True):
                self._value(
                    item, under if key_class is None else _Inherited(key_class, is_numeric=False)
                )

    def _login(self, items: list[Json]) -> None:
        """Redact the second of a user and a password."""
        self._value(items[0], _NOTHING_INHERITED)
        if isinstance(items[1], str) and self._line.is_secret(items[1], KeyClass.STRONG):
            self._value(items[1], _Inherited(KeyClass.STRONG, is_numeric=False))
        else:
            self._value(items[1], _NOTHING_INHERITED)

    def _array(self, items: list[Json], under: _Inherited) -> None:
        if (
            len(items) == 2
            and isinstance(items[0], str)
            and isinstance(items[1], str)
            and len(items[0]) < 100
        ):
            key_class = self._keys.classify(items[0].lstrip("-"))
            if key_class is not None and (
                self._line.is_secret(items[1], key_class) or items[1].startswith(MARKER_START)
            ):
                self._value(items[0], _NOTHING_INHERITED)
                self._value(items[1], _Inherited(key_class, is_numeric=False))
                return
        if any(isinstance(item, str) and item.startswith("-") for item in items):
            self._arguments(items, under)
            return
        for item in items:
            self._value(item, under)

    def _arguments(self, items: list[Json], under: _Inherited) -> None:
        """Redact an argument list: the word after `--token`, and where a program takes one."""
        words = [item if isinstance(item, str) else "" for item in items]
        secrets = dict(find_secrets(words))
        flag: KeyClass | None = None
        for i, item in enumerate(items):
            kept = secrets.get(i, 0)
            is_named = i in secrets or (flag is not None and not words[i].startswith("-"))
            if (
                is_named
                and isinstance(item, str)
                and self._line.is_secret(item[kept:], flag or KeyClass.STRONG)
            ):
                start, end = self._next()
                self._line.replace(start, end, FLAG_RULE, item[kept:].encode(), item[:kept])
            else:
                self._value(item, under)
            flag = self._flag_class(item)

    def _flag_class(self, item: Json) -> KeyClass | None:
        if not isinstance(item, str) or not item.startswith("-") or "=" in item or len(item) >= 64:
            return None
        return self._keys.classify(item.lstrip("-"))
