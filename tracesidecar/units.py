"""Sizes, times and secrets: read as the configuration writes them, and written for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, Self

_SIZE = re.compile(r"([0-9]+)\s*(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)?")
_FACTORS = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Size(int):
    """A number of bytes, written `"48MiB"`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `"48MiB"`, `"5GB"` or `"4096B"`; raise ValueError with what is allowed."""
        match = _SIZE.fullmatch(text.strip())
        if match is None or not match.group(2):
            raise ValueError('expected a size with a unit, such as "48MiB"')
        return cls(int(match.group(1)) * _FACTORS[match.group(2)])


class Seconds(float):
    """A length of time, written `"25s"`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `"500ms"`, `"25s"`, `"5m"`, `"1h"` or `"7d"`; a ValueError says what is allowed."""
        match = _TIME.fullmatch(text.strip())
        if match is None:
            raise ValueError('expected a time with a unit, such as "25s"')
        return cls(float(match.group(1)) * _SECONDS[match.group(2)])


class Origin(NamedTuple):
    """A value in a text of the configuration, and the reference that was written there."""

    reference: str
    value: str


Piece = str | Origin
"""A part of a text: as it is written in the configuration, or a value that came from elsewhere."""


class Interpolated(str):
    """A text of the configuration in which values stand that came from elsewhere."""

    __slots__ = ("_pieces",)

    _pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, text: str, pieces: Iterable[Piece]) -> Self:
        """Return the text that was made of the pieces, though it may have changed since."""
        made = cls(text)
        made._pieces = _align(text, tuple(pieces))
        return made

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces that the text consists of, in order."""
        return self._pieces if hasattr(self, "_pieces") else (str(self),)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The values from elsewhere that stand in the text."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Origin))


def _align(text: str, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Return the pieces of a text that became an absolute path after it was put together."""
    values = [piece.value if isinstance(piece, Origin) else piece for piece in pieces]
    if "".join(values) == text:
        return pieces
    origins = [piece for piece in pieces if isinstance(piece, Origin)]
    aligned: list[Piece] = []
    end = len(text)
    for origin in reversed(origins):
        start = text.rfind(origin.value, 0, end)
        if start < 0:  # it was changed itself (`a//b/../c`)
            return _hide_end(text, pieces)
        aligned += [text[start + len(origin.value) : end], origin]
        end = start
    return tuple(reversed([*aligned, text[:end]]))


def _hide_end(text: str, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Return the beginning of a text that was there before its first value, and one for the rest.

    Of a path that did not begin so, it is the first slash.
    """
    first = pieces[0] if isinstance(pieces[0], str) else ""
    shown = first if first and text.startswith(first) else text[: text.startswith("/")]
    references = [piece.reference for piece in pieces if isinstance(piece, Origin)]
    return (shown, Origin(" ".join(references), text[len(shown) :]))


class Secret(Interpolated):
    """A credential, wherever it came from: prints as stars."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def format_bytes(count: int) -> str:
    """Return a number of bytes for a person: `1.5 MiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def format_duration(seconds: float) -> str:
    """Return a length of time for a person: `42 s`, `3 min`, `5 h`, `2 d`."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
