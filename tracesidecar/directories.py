"""Open what a path leads to name by name, and through no link that must not be followed.

Anyone who may write in a directory can replace any name in it by a link, at any moment. So each
name is opened in the directory that was opened before it, and what is opened is looked at before
anything is read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Self

from tracesidecar.openat2 import open_without_links

_PATH = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK)
"""Opens what has a name without touching it: a FIFO has no reader, a device is not started."""

UNTOUCHED = _PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""Opens whatever has a name, to look at it."""

DIRECTORY = UNTOUCHED | os.O_DIRECTORY
"""Opens a directory, which need not be readable, as `dir_fd`."""

LISTED = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
"""Opens a directory to list it, too."""

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_MOST_LINKS = 40
"""As the kernel's own limit for one path, path_resolution(7)."""

_PARENT_MODE = 0o755
"""That of directories on the way: others may enter them, a lake for a group may be in them, too."""


class LinkNotFollowed(NotADirectoryError):
    """A symbolic link is there, and `symlinks` says that it is not followed."""


class UntrustedLink(OSError):
    """A symbolic link in the path of a root belongs to neither root nor this user."""


class LinkRule(Enum):
    """Which links are followed."""

    NEVER = "never"
    SAME_OWNER = "same_owner"
    """Those that belong to the owner of what they lead to."""
    FOLLOW = "follow"
    ON_THE_WAY = "on_the_way"
    """Those of `SAME_OWNER`, and those of `TRUSTED`."""
    TRUSTED = "trusted"
    """Those of root and of this user: who else could change them?"""


@dataclass(slots=True)
class Handle:
    """Something that has a name, opened without being touched, and its directory.

    Leaving its context closes it, and calls `leave`; it is valid until then.
    """

    descriptor: int
    status: os.stat_result
    folder: int
    leave: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        """Return the handle."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the handle."""
        os.close(self.descriptor)
        if self.leave is not None:
            self.leave()

    @property
    def folder_owner(self) -> int:
        """Return the user to whom the directory belongs."""
        return os.fstat(self.folder).st_uid

    @property
    def is_regular(self) -> bool:
        """Return whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def inode(self) -> tuple[int, int]:
        """Return the device and the inode number."""
        return self.status.st_dev, self.status.st_ino

    def open(self) -> int:
        """Open this very file for reading; raise OSError if it is no regular file."""
        return _open_to_read(self.descriptor, self.status)

    def link(self, folder: int, name: str) -> None:
        """Give this very file a hard link: a name in an open directory."""
        # as linkat(2) describes it; without `dst_dir_fd` Python calls link(2), which would link
        # the entry in /proc
        os.link(_entry(self.descriptor), name, dst_dir_fd=folder)


@dataclass(slots=True)
class _Links:
    """How many more links one path may have."""

    left: int = _MOST_LINKS

    def follow(self) -> None:
        """Count a link; raise OSError if there are too many."""
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


@dataclass(frozen=True, slots=True)
class _Way:
    """How a path is gone: which links are followed, and the mode of directories that it makes."""

    rule: LinkRule
    mode: int | None = None
    links: _Links = field(default_factory=_Links)


def open_regular(path: str) -> int:
    """Open a regular file for reading; raise OSError for anything else, which is not opened.

    Links are followed: for paths that a person has given.
    """
    descriptor = os.open(path, _PATH | os.O_CLOEXEC)
    try:
        return open_untouched(descriptor)
    finally:
        os.close(descriptor)


def open_untouched(descriptor: int) -> int:
    """Open what was opened without being touched; raise OSError if it is no regular file."""
    return _open_to_read(descriptor, os.fstat(descriptor))


def find_in_folder(folder: int, name: str, leave: Callable[[], None] | None = None) -> Handle:
    """Open what has a name in an open directory, without touching it.

    `leave` is called when the handle is closed, or here if it cannot be opened.
    """
    try:
        descriptor = os.open(name or ".", UNTOUCHED, dir_fd=folder)
    except OSError:
        if leave is not None:
            leave()
        raise
    return Handle(descriptor, os.fstat(descriptor), folder, leave)


def open_path(path: str, flags: int, rule: LinkRule, *, mode: int | None = None) -> int:
    """Open what an absolute path leads to; `flags` are those above.

    With a mode, directories that are missing are made. Raise LinkNotFollowed, UntrustedLink or
    another OSError.
    """
    is_simple = mode is None and flags & os.O_DIRECTORY
    found = open_without_links(path, flags) if is_simple else None
    return _descend(None, path, flags, _Way(rule, mode)) if found is None else found


def open_name(
    folder: int, name: str, flags: int, rule: LinkRule, *, mode: int | None = None
) -> int:
    """Open a name in an open directory, or what it leads to if it is a link that is followed.

    With a mode, a directory that is missing is made.
    """
    return _step(folder, name, flags, _Way(rule, mode))


def open_trusted_directory(path: str, *, makes_missing: bool = False) -> int:
    """Open a directory as `dir_fd`, by way of no link but those of root and of this user.

    Directories that are missing can be made; others may enter them.
    """
    return open_path(
        path, DIRECTORY, LinkRule.TRUSTED, mode=_PARENT_MODE if makes_missing else None
    )


def open_own_directory(path: str, mode: int | None = None) -> int:
    """Open a directory as `dir_fd`: one that is no link, by way of none of somebody else's.

    With a mode, it is made if it is missing.
    """
    parent, name = os.path.split(path)
    folder = open_trusted_directory(parent, makes_missing=mode is not None)
    try:
        return open_name(folder, name or ".", DIRECTORY, LinkRule.NEVER, mode=mode)
    finally:
        os.close(folder)


def real_path(descriptor: int) -> str:
    """Return the path without links by which the kernel knows an open file."""
    return os.readlink(_entry(descriptor))


def _descend(start: int | None, path: str, flags: int, way: _Way) -> int:
    """Open what a path leads to, name by name: from an open directory, or from the root."""
    names = [name for name in path.split("/") if name not in {"", "."}]
    if start is None or path.startswith("/"):
        folder = os.open("/", DIRECTORY if names else flags)
    else:
        folder = os.open(".", DIRECTORY if names else flags, dir_fd=start)
    for position, name in enumerate(names):
        is_last = position == len(names) - 1
        try:
            below = _step(folder, name, flags if is_last else DIRECTORY, way)
        finally:
            os.close(folder)
        folder = below
    return folder


def _step(folder: int, name: str, flags: int, way: _Way) -> int:
    """Open a name, or what it leads to if it is a link that is followed."""
    if flags & os.O_DIRECTORY:
        try:
            return _open_directory(folder, name, flags, way)
        except NotADirectoryError:
            if way.rule is LinkRule.NEVER:
                raise
    descriptor = os.open(name, UNTOUCHED, dir_fd=folder)
    status = os.fstat(descriptor)
    if not stat.S_ISLNK(status.st_mode) and not flags & os.O_DIRECTORY:
        return descriptor
    try:
        target = os.readlink("", dir_fd=descriptor) if stat.S_ISLNK(status.st_mode) else None
    finally:
        os.close(descriptor)
    if target is None or way.rule is LinkRule.NEVER:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return _follow(folder, target, status.st_uid, flags, way)


def _open_directory(folder: int, name: str, flags: int, way: _Way) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        if way.mode is None:
            raise
    try:
        os.mkdir(name, way.mode, dir_fd=folder)
    except FileExistsError:
        return os.open(name, flags, dir_fd=folder)
    made = os.open(name, flags, dir_fd=folder)
    os.chmod(_entry(made), way.mode | os.fstat(made).st_mode & stat.S_ISGID)  # whatever the umask
    return made


def _follow(folder: int, target: str, owner: int, flags: int, way: _Way) -> int:
    """Open what a link of an owner leads to, if that is allowed."""
    is_trusted = owner in {0, os.geteuid()}
    if way.rule is LinkRule.TRUSTED and not is_trusted:
        raise UntrustedLink(
            errno.ELOOP,
            "a symbolic link in its path belongs to another user: give the path that it leads to",
        )
    way.links.follow()
    # on the way that a link names there may be links of the system's, such as /var/run
    rule = LinkRule.ON_THE_WAY if way.rule is LinkRule.SAME_OWNER else way.rule
    untouched = DIRECTORY if flags & os.O_DIRECTORY else UNTOUCHED
    found = _descend(folder, target, untouched, replace(way, rule=rule))
    is_allowed = (
        way.rule in {LinkRule.FOLLOW, LinkRule.TRUSTED}
        or (way.rule is LinkRule.ON_THE_WAY and is_trusted)
        or os.fstat(found).st_uid == owner
    )
    if not is_allowed:
        os.close(found)
        raise LinkNotFollowed(errno.ENOTDIR, "it leads to something of another owner")
    if flags == untouched:
        return found
    try:
        return os.open(_entry(found), flags & ~os.O_NOFOLLOW)
    finally:
        os.close(found)


def _open_to_read(descriptor: int, status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return os.open(_entry(descriptor), _READ)


def _entry(descriptor: int) -> str:
    """Return the path by which the kernel gives access to an open file, whatever its names."""
    return f"/proc/self/fd/{descriptor}"
