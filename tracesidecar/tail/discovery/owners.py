"""Whose files are read by a process that may read everybody's."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Sequence
from contextlib import suppress

from tracesidecar.directories import Handle
from tracesidecar.tail.options import SourceOptions

_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
"""Numbers of capabilities, capabilities(7): each of them opens everybody's files."""


def find_user(owner: str) -> int | None:
    """Return the number of a user that is given by name or by number, None if there is none."""
    if owner.isascii() and owner.isdigit():
        return int(owner)
    with suppress(KeyError, ValueError):
        return pwd.getpwnam(owner).pw_uid
    return None


_PROTECTION = "/proc/sys/fs/protected_hardlinks"


class Owners:
    """Withholds a file that somebody may have linked into a tree without being able to read it.

    A hard link gives a file another name and leaves its owner and mode as they are. Where the
    kernel lets people link what they may not read (fs.protected_hardlinks = 0), anybody may put
    /etc/shadow into a watched directory. There, what was withheld once stays so when its other
    name goes: each change of a password replaces that file. For any thread.
    """

    def __init__(self, sources: Sequence[SourceOptions]) -> None:
        self._may_read_all = _may_read_all()
        self._owners = [_find_users(source.owners) for source in sources]
        self._withheld: set[tuple[int, int]] = set()

    def withholds(self, source: int, found: Handle, *, own_links: int) -> bool:
        """Return whether a file has a second name that is not ours, and a strange owner.

        `own_links` is how many of its names are ours.
        """
        if (
            not self._may_read_all
            or found.status.st_uid == found.folder_owner
            or found.status.st_uid in self._owners[source]
        ):
            return False
        if found.status.st_nlink - own_links > 1:
            self._withheld.add(found.inode)
            return True
        return found.inode in self._withheld and not _are_links_protected()


def _are_links_protected() -> bool:
    """Return whether the kernel lets people only link what they may write to, proc_sys_fs(5)."""
    try:
        with open(_PROTECTION, encoding="ascii") as setting:
            return setting.read().strip() != "0"
    except OSError:
        return False


def _find_users(owners: Iterable[str]) -> frozenset[int]:
    return frozenset(user for owner in owners if (user := find_user(owner)) is not None)


def _may_read_all() -> bool:
    if os.geteuid() == 0:
        return True
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            effective = next(line for line in lines if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return False
    capabilities = int(effective.split()[1], 16)
    return bool(capabilities >> _DAC_OVERRIDE & 1 or capabilities >> _DAC_READ_SEARCH & 1)
