"""Which names rotation gives to files: one answer for what is followed, and for what ids hold.

Rotation makes `a.jsonl.1`, `a.jsonl-20261121.gz`, `a-20261121.jsonl.zst` or `a.jsonl.gz` of
`a.jsonl`: these names are a family.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_ARCHIVE = re.compile(r"(.+)\.(?:gz|zst)", re.DOTALL)
_NUMBERED = re.compile(r"(.+?)[.\-_]([0-9][0-9.:T_-]*)", re.DOTALL)
"""`a.jsonl.1`, `a.jsonl-20261121`, and `a.jsonl.2026-11-21_10` of Python's handlers."""

_INSIDE = re.compile(
    r"(.+?)(?:\.([0-9]{1,5})|[.\-_]([0-9]{4}[0-9.:T_-]{4,}?))(\.[A-Za-z][A-Za-z0-9]*)", re.DOTALL
)
"""`a.1.jsonl` and `a-20261121.jsonl` of logrotate's `extension`: a number only after a dot, because
`session-2.jsonl` is another session.
"""
_AFTER_EXTENSION = re.compile(
    r"(\.(?:jsonl|ndjson|json|log))[.\-_][0-9][0-9.:T_-]{0,30}(?:\.(?:gz|zst))?\Z"
)
"""`a.jsonl.1` and `a.jsonl-20261121`, each perhaps compressed."""

_LONGEST_INDEX = 5
"""More digits than this are a date, and the greatest is the youngest; an index counts from the
youngest.
"""


class RotatedName(NamedTuple):
    """What a name says of its file: whose family it belongs to, and how old it is in it.

    `age` sorts the files of a family, oldest first: dates, then indexes from the highest, then an
    archive without either, and last the file that is written.
    """

    original: str
    age: tuple[int, int]


def rotations(name: str) -> Iterator[RotatedName]:
    """Yield how rotation may have made this name; an archive may be of a rotated file, or of it."""
    archive = _ARCHIVE.fullmatch(name)
    stem = name if archive is None else archive.group(1)
    if match := _NUMBERED.fullmatch(stem):
        yield RotatedName(match.group(1), _age(match.group(2)))
    if match := _INSIDE.fullmatch(stem):
        yield RotatedName(match.group(1) + match.group(4), _age(match.group(2) or match.group(3)))
    if archive is not None:
        yield RotatedName(stem, (2, 0))


def is_rotated_name(name: str, original: str) -> bool:
    """Return whether a name is what rotation makes of another."""
    return any(each.original == original for each in rotations(name))


def rank_in_family(name: str) -> tuple[str, tuple[int, int], bool]:
    """Return what sorts the names of a directory by family, and each family oldest first.

    An archive comes after the file that it may be made of.
    """
    found = next(rotations(name), RotatedName(name, (3, 0)))
    original = found.original
    if found.age == (2, 0):
        original, age, _ = rank_in_family(original)
        return original, age, True
    return original, found.age, _ARCHIVE.fullmatch(name) is not None


def strip_rotation(path: str) -> str:
    """Return the path that a file had before it was rotated, where its name leaves no doubt.

    `a.jsonl.1` and `a.jsonl-20261121.gz` were `a.jsonl`. `a-20261121.jsonl` and `a.1.jsonl` may
    also be what an agent calls the file of a day, or of a session.
    """
    return _AFTER_EXTENSION.sub(r"\1", path)


def _age(number: str) -> tuple[int, int]:
    digits = re.sub("[^0-9]", "", number)
    return (1, -int(digits)) if len(digits) <= _LONGEST_INDEX else (0, int(digits))
