"""Describe what was found and what is allowed, never showing a possible credential."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec

from tracesidecar.units import Seconds, Secret, Size

_HARMLESS = re.compile(r"[A-Za-z0-9 ._/+-]{0,16}")
"""Strings that a message may quote: too short for a credential."""

_PLAIN: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Secret: "a string",
    Size: 'a size with a unit, such as "48MiB"',
    Seconds: 'a time with a unit, such as "25s"',
}
_BOUNDS = (
    ("ge", "at least"),
    ("gt", "more than"),
    ("le", "at most"),
    ("lt", "less than"),
    ("min_length", "with at least"),
)


def describe_type(kind: object) -> str:
    """Describe the values of a type: `a whole number`, `one of "gzip", "none"`."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "a table"
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return one_of(parts)
    if origin is Annotated:
        return describe_type(parts[0]) + "".join(_bounds(meta) for meta in parts[1:])
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(part) for part in parts if part is not type(None))
    if origin in (tuple, list):
        return f"a list of {_plural(describe_type(parts[0]))}"
    if origin is dict:
        return f"a table of {_plural(describe_type(parts[1]))}"
    return "another value"


def describe_value(value: object, *, is_shown: bool = True) -> str:
    """Describe a value: `the number 3`, `a list`. Quote a string only if short and `is_shown`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}" if is_shown else "a number"
    if isinstance(value, str):
        return f'"{value}"' if is_shown and _HARMLESS.fullmatch(value) else "a string"
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date or time"


def one_of(names: Iterable[object]) -> str:
    """Write `one of "a", "b"`, or just `"a"`."""
    quoted = [f'"{name}"' for name in dict.fromkeys(names)]
    return quoted[0] if len(quoted) == 1 else f"one of {', '.join(quoted)}"


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Find the known name that a misspelt one most likely means."""
    matches = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _plural(words: str) -> str:
    noun = words.removeprefix("a ")
    return noun + "s" if noun in ("string", "number", "whole number", "table") else noun


def _bounds(meta: object) -> str:
    if not isinstance(meta, msgspec.Meta):
        return ""
    said = [
        f", {words} {getattr(meta, name)}"
        for name, words in _BOUNDS
        if getattr(meta, name) is not None
    ]
    if meta.pattern is not None:
        said.append(f" that matches {meta.pattern}")
    return "".join(said) + (" characters" if meta.min_length is not None else "")
