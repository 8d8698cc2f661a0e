"""Hard links that keep unfinished files alive when their names are removed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

_LINK = re.compile(r"segment-([0-9]+)")


class HardLinks:
    """One hard link a segment, in the state directory or in the source's `hold_directory`.

    Where owner or mount forbid links, that is remembered.
    """

    def __init__(self, directories: Iterable[str]) -> None:
        """Take over the links that earlier runs left; directories are made where they are missing."""
        self._paths: dict[int, str] = {}
        self._refused: set[tuple[str, int, int]] = set()
        for directory in directories:
            try:
                os.makedirs(directory, mode=0o700, exist_ok=True)
                names = os.listdir(directory)
            except OSError:
                continue  # no links there then: `link` finds that out for itself
            for name in names:
                if match := _LINK.fullmatch(name):
                    self._paths[int(match.group(1))] = os.path.join(directory, name)

    def path(self, segment: int) -> str | None:
        """Return the segment's link."""
        return self._paths.get(segment)

    def segments(self) -> list[int]:
        """Return the segments that have one."""
        return list(self._paths)

    def link(self, segment: int, path: str, directory: str, status: os.stat_result) -> bool:
        """Link the file of that status, found under `path`; False where this cannot be done."""
        place = (directory, status.st_dev, status.st_uid)
        if segment in self._paths or place in self._refused:
            return segment in self._paths
        target = os.path.join(directory, f"segment-{segment}")
        try:
            os.link(path, target)
        except FileNotFoundError:
            return False
        except OSError:
            self._refused.add(place)
            return False
        self._paths[segment] = target
        linked = os.lstat(target)
        if (linked.st_dev, linked.st_ino) != (status.st_dev, status.st_ino):
            self.release(segment)  # another file took the name meanwhile, or it is a symlink
            return False
        return True

    def is_refused(self, directory: str, status: os.stat_result) -> bool:
        """Tell whether such files cannot be linked there: another mount, another owner (Linux's
        fs.protected_hardlinks), or a file system without hard links.
        """
        return (directory, status.st_dev, status.st_uid) in self._refused

    def release(self, segment: int) -> bool:
        """Remove the segment's link; False when there was none."""
        path = self._paths.pop(segment, None)
        if path is None:
            return False
        if not self._paths:
            self._paths.clear()  # gives back the table
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        return True
