"""Where an open directory is in its file system, whatever is mounted where."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_ESCAPE = re.compile(r"\\([0-7]{3})")
"""How mountinfo writes a space in a name: \\040."""


@dataclass(frozen=True, slots=True)
class Spot:
    """The path by which a directory is seen, and the one that it has in its file system."""

    outside: str
    inside: str


class Mounts:
    """Reads what is mounted once, and again after `forget`. Elsewhere than on Linux it is empty."""

    def __init__(self) -> None:
        self._mounts: dict[str, tuple[str, str]] | None = None

    def forget(self) -> None:
        """Read again what is mounted."""
        self._mounts = None

    def locate(self, descriptor: int) -> Spot | None:
        """Return where an open directory is; None if nothing is known of its mount.

        The mount's id leads to its line in mountinfo, proc_pid_mountinfo(5): the part of the file
        system that is shown, and where. Two bind mounts of one file system differ in nothing else.
        """
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
                mount = next((line[7:].strip() for line in info if line.startswith("mnt_id:")), "")
        except OSError:
            return None
        if self._mounts is None:
            self._mounts = _read_mounts()
        if mount not in self._mounts:
            return None
        shown, point = self._mounts[mount]
        below = path.removeprefix(point.rstrip("/"))
        return Spot(path, f"{shown.rstrip('/')}{below}".rstrip("/"))


def _read_mounts() -> dict[str, tuple[str, str]]:
    """Return, by the mount's id, which part of its file system it shows, and where."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            fields = [line.split(" ", 5) for line in lines]
    except OSError:
        return {}
    return {line[0]: (_unescape(line[3]), _unescape(line[4])) for line in fields if len(line) > 5}


def _unescape(name: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), name)
