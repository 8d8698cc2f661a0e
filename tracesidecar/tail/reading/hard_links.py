"""Hard links that keep unfinished files readable when their names are removed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from tracesidecar.tail.options import SourceOptions

_PREFIX = "segment-"
_LINK = re.compile(rf"{_PREFIX}([0-9]+)")


def link_folder(state_directory: str) -> str:
    """Return the folder of the hard links of sources that name no `hold_directory`."""
    return os.path.join(state_directory, "held")


def link_folders(state_directory: str, sources: Iterable[SourceOptions]) -> tuple[str, ...]:
    """Return every folder that may have hard links: those that sources name, and our own."""
    named = dict.fromkeys(source.hold_directory for source in sources if source.hold_directory)
    return (*named, link_folder(state_directory))


def link_path(folder: str, segment: int) -> str:
    """Return the path of a segment's hard link in a folder, whether or not it exists."""
    return os.path.join(folder, f"{_PREFIX}{segment}")


class HardLinks:
    """At most one hard link a segment, in the state directory or in a source's `hold_directory`.

    Links need one mount, and (with Linux's fs.protected_hardlinks) a file of our own or root. Where
    one failed, no further one is tried for the same device and owner.
    """

    def __init__(self, directory: str, others: Iterable[str] = ()) -> None:
        """Make the directories that are missing, and take over the links of earlier runs."""
        self._directory = directory
        self._paths: dict[int, str] = {}
        self._forbidden: set[tuple[str, int, int]] = set()
        for place in (directory, *others):
            try:
                os.makedirs(place, mode=0o700, exist_ok=True)
                names = os.listdir(place)
            except OSError:
                continue  # no links are possible there: `link` will find out
            for name in names:
                if match := _LINK.fullmatch(name):
                    self._paths[int(match.group(1))] = os.path.join(place, name)

    def path(self, segment: int) -> str | None:
        """Return the segment's link."""
        return self._paths.get(segment)

    def segments(self) -> list[int]:
        """Return the segments that have a link."""
        return list(self._paths)

    def link(self, segment: int, path: str, directory: str | None, status: os.stat_result) -> bool:
        """Link the file of that status, found under `path`, unless it has a link already.

        `directory` is where, None for the state directory's. Return whether the segment has a link.
        """
        if segment in self._paths or self.is_forbidden(directory, status):
            return segment in self._paths
        target = link_path(directory or self._directory, segment)
        try:
            os.link(path, target)
        except FileNotFoundError:
            return False
        except OSError:
            self._forbidden.add(self._terms(directory, status))
            return False
        self._paths[segment] = target
        linked = os.lstat(target)
        if (linked.st_dev, linked.st_ino) != (status.st_dev, status.st_ino):
            self.remove(segment)  # another file took the name meanwhile, or it is a symlink
            return False
        return True

    def is_forbidden(self, directory: str | None, status: os.stat_result) -> bool:
        """Return whether a link of such a file (device, owner) failed there."""
        return self._terms(directory, status) in self._forbidden

    def remove(self, segment: int) -> bool:
        """Remove the segment's link; return False if there was none."""
        path = self._paths.pop(segment, None)
        if path is None:
            return False
        if not self._paths:
            self._paths.clear()  # gives back the memory of the table
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        return True

    def _terms(self, directory: str | None, status: os.stat_result) -> tuple[str, int, int]:
        return (directory or self._directory, status.st_dev, status.st_uid)
