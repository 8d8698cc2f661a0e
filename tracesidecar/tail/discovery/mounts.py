"""Where an open directory is in its file system, whatever is mounted where."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

_MOUNT_INFO = "/proc/self/mountinfo"
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


class MountNotices:
    """Says which directories have another mount at or below them than before.

    Elsewhere than on Linux it knows nothing. For one thread.
    """

    def __init__(self, directories: Iterable[str]) -> None:
        """Take what is mounted now as known."""
        self._directories = list(directories)
        self._descriptor: int | None = None
        with suppress(OSError):
            self._descriptor = os.open(_MOUNT_INFO, os.O_RDONLY | os.O_CLOEXEC)
            self._has_changed()
        self._below = self._list_below()

    def close(self) -> None:
        """Let go of the kernel's list."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def take_changed(self) -> set[str]:
        """Return the directories that have changed since the last call."""
        if not self._has_changed():
            return set()
        before, self._below = self._below, self._list_below()
        return {path for path, below in self._below.items() if below != before[path]}

    def _has_changed(self) -> bool:
        """Return whether anything was mounted or unmounted: proc_pid_mounts(5)."""
        if self._descriptor is None:
            return False
        poll = select.poll()
        poll.register(self._descriptor, select.POLLPRI)
        return any(events & select.POLLPRI for _, events in poll.poll(0))

    def _list_below(self) -> dict[str, set[tuple[str, str]]]:
        """Return id and path of each mount below the directories."""
        points = [] if self._descriptor is None else list(_read_mounts().items())
        below: dict[str, set[tuple[str, str]]] = {}
        for directory in self._directories:
            start = f"{os.path.realpath(directory).rstrip('/')}/"
            below[directory] = {
                (number, point) for number, (_, point) in points if f"{point}/".startswith(start)
            }
        return below


def _read_mounts() -> dict[str, tuple[str, str]]:
    """Return, by the mount's id, which part of its file system it shows, and where."""
    try:
        with open(_MOUNT_INFO, encoding="utf-8", errors="surrogateescape") as lines:
            fields = [line.split(" ", 5) for line in lines]
    except OSError:
        return {}
    return {line[0]: (_unescape(line[3]), _unescape(line[4])) for line in fields if len(line) > 5}


def _unescape(name: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), name)
