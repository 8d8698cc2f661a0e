"""The name of a hard link says whose file it is, so that it can be read where no journal knows it.

Name and link are made by one system call: no crash can leave one without the other, and a full disk
that still takes the link takes its name too.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, unquote_to_bytes

_LINK = re.compile(r"segment-([^:/]*)(?::([^:/]*):([^:/]*))?.*", re.DOTALL)
_SEGMENT = re.compile(r"[0-9]{1,18}")
CUT = "…"
"""Stands for the folders that had no room in a name."""

_LONGEST = 240
"""Bytes of a name: most file systems allow 255."""


@dataclass(frozen=True, slots=True)
class LinkName:
    """The segment, source and path of a linked file, as they were when the link was made.

    Source and path are empty in a link of an earlier version, or if they are too long. A long path
    begins with "…", which stands for its first folders. Somebody else may have made or renamed a
    link: the segment is 0 if the name has none, and the path is empty if no file can have it.
    """

    segment: int
    source: str = ""
    path: str = ""

    def encode(self) -> str:
        """Return the name: `segment-ID:SOURCE:PATH`, with "+" for each "/"."""
        if not self.source:
            return f"segment-{self.segment}"
        source = _quote(self.source)
        start = f"segment-{self.segment}:{source if len(source) <= _LONGEST // 2 else ''}:"
        room = _LONGEST - len(start)
        path = _quote(self.path)
        if len(path) > room:
            folders = self.path.split("/")
            shortened = (f"{CUT}/{'/'.join(folders[n:])}" for n in range(1, len(folders)))
            path = next((each for each in map(_quote, shortened) if len(each) <= room), "")
        return start + path

    @classmethod
    def parse(cls, name: str) -> LinkName | None:
        """Return what a name says, None if it does not begin as that of a link does."""
        match = _LINK.fullmatch(name)
        if match is None:
            return None
        number, source, path = match.groups(default="")
        segment = int(number) if _SEGMENT.fullmatch(number) else 0
        followed = _unquote(path)
        return cls(segment, _unquote(source), followed if _is_possible(followed) else "")


def _quote(text: str) -> str:
    return quote_from_bytes(os.fsencode(text), safe="/").replace("/", "+")


def _unquote(text: str) -> str:
    # a name need not be UTF-8
    return os.fsdecode(unquote_to_bytes(os.fsencode(text.replace("+", "/"))))


def _is_possible(path: str) -> bool:
    """Return whether a path has no part that would lead elsewhere, or nowhere."""
    return "\0" not in path and os.path.normpath(path) == path
