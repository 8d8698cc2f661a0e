"""Sizes, times and secrets as configuration writes them."""

from __future__ import annotations

import re
from typing import Self

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
        """Read `"500ms"`, `"25s"`, `"5m"`, `"1h"` or `"7d"`; raise ValueError with what is allowed."""
        match = _TIME.fullmatch(text.strip())
        if match is None:
            raise ValueError('expected a time with a unit, such as "25s"')
        return cls(float(match.group(1)) * _SECONDS[match.group(2)])


class Secret(str):
    """A credential: prints as stars."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"
