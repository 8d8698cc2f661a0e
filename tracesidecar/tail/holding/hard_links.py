"""The folders of hard links: links are made, found again after a restart, set aside and removed."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum

from tracesidecar.directories import Handle, UntrustedLink
from tracesidecar.errors import StateUnavailable
from tracesidecar.tail.holding.link_folder import (
    UNKNOWN,
    ForeignFolder,
    LinkFolder,
    find_private_folders,
    private_folder,
)
from tracesidecar.tail.holding.link_names import LinkName
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import LinkedFiles

_NEVER_HERE = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP}
"""A link to that file is not possible in that folder: another mount, a file of another owner
(Linux's fs.protected_hardlinks), or a file system without hard links. All other errors pass: a full
disk, a spent quota, too many links, a broken device, a read-only mount.
"""


def link_folder(state_directory: str) -> str:
    """Return the folder of the hard links of sources that name no `hold_directory`."""
    return os.path.join(state_directory, "held")


def link_folders(state_directory: str, sources: Iterable[SourceOptions]) -> tuple[str, ...]:
    """Return every folder that may have hard links: those that sources name, and our own."""
    named = dict.fromkeys(source.hold_directory for source in sources if source.hold_directory)
    private = [folder for given in named for folder in find_private_folders(given)]
    return (*named, *private, link_folder(state_directory))


def find_links(folders: Iterable[str]) -> dict[int, str]:
    """Return the hard link of each segment that has one in these folders."""
    found = {}
    for folder in folders:
        for name, link in _list_links(folder):
            if link.segment:
                found[link.segment] = os.path.join(folder, name)
    return found


def measure_links(folders: Iterable[str]) -> LinkedFiles:
    """Return what the links in these folders keep on the disk."""
    files = size_bytes = 0
    for folder in folders:
        for name, _ in _list_links(folder):
            with suppress(FileNotFoundError):  # removed in this moment
                status = os.lstat(os.path.join(folder, name))
                files += 1
                size_bytes += status.st_size if status.st_nlink == 1 else 0
    return LinkedFiles(files, size_bytes)


def set_aside_folders(folders: Iterable[str]) -> tuple[str, ...]:
    """Return where links of these folders are set aside."""
    return tuple(os.path.join(folder, UNKNOWN) for folder in folders)


class LinkOutcome(Enum):
    """What came of the attempt to make a link."""

    MADE = "made"
    """The segment has a link, of now or of earlier."""

    IMPOSSIBLE = "impossible"
    """Mount, owner or file system do not allow it."""

    FAILED = "failed"
    """It failed for a reason that may pass."""

    MISSED = "missed"
    """The file no longer has that name."""


class HardLinks:
    """At most one hard link a segment, in the state directory or in a source's `hold_directory`.

    Links that were made, moved or removed are so for good, whatever crashes, once `sync` has
    returned.
    """

    def __init__(self, directory: str, others: Iterable[str] = ()) -> None:
        """Make the directories that are missing, and take over the links of earlier runs.

        Those that were set aside are among them: what was unknown then may be known now. Raise
        StateUnavailable or OSError if a directory is there and cannot be used now.
        """
        self._chosen = {given: private_folder(given) for given in others}
        self.folders = tuple(dict.fromkeys((directory, *self._chosen.values())))
        self._opened = {path: LinkFolder(path) for path in self.folders}
        self._paths: dict[int, str] = {}
        self._doomed: dict[int, str] = {}
        self._unsynced: set[str] = set()
        self._troubles: dict[str, str] = {}
        for folder in self.folders:
            with suppress(OSError):  # no links are possible there: `link` will find out
                self._make_folder(folder)
            for name, link in self._list_all_links(folder):
                self._take_over(os.path.join(folder, name), link)
            for name, link in self._list_all_links(os.path.join(folder, UNKNOWN)):
                if link.segment not in self._paths:
                    self._move(self._take_over(os.path.join(folder, UNKNOWN, name), link), folder)

    @property
    def troubles(self) -> Mapping[str, str]:
        """Return why the last link failed that was wanted, for each folder where one did."""
        return self._troubles

    def path(self, segment: int) -> str | None:
        """Return the segment's link."""
        return self._paths.get(segment)

    def segments(self) -> list[int]:
        """Return the segments that have a link."""
        return list(self._paths)

    def status(self, segment: int) -> os.stat_result | None:
        """Return the stat of the segment's link; None if there is none, or it cannot be seen."""
        with suppress(OSError):
            return self.look_up(segment)
        return None

    def look_up(self, segment: int) -> os.stat_result | None:
        """Return the stat of the segment's link, None if there is none.

        Raise OSError if it cannot be seen now: no descriptor is left, or its folder is closed.
        """
        path = self._paths.get(segment)
        if path is None:
            return None
        folder, name = os.path.split(path)
        try:
            return self._folder(folder).stat(name)
        except (FileNotFoundError, NotADirectoryError):
            return None  # somebody has removed it

    def open(self, segment: int) -> int:
        """Open the segment's link for reading; raise OSError if that fails."""
        folder, name = os.path.split(self._paths[segment])
        return self._folder(folder).open(name)

    def folder_of(self, options: SourceOptions) -> str:
        """Return where the links of a source are."""
        given = options.hold_directory
        return self.folders[0] if given is None else self._chosen[given]

    def link(self, link: LinkName, found: Handle, options: SourceOptions) -> LinkOutcome:
        """Link a file of a source, unless its segment is linked."""
        if link.segment in self._paths:
            return LinkOutcome.MADE
        folder = self.folder_of(options)
        try:
            target = self._link(found, folder, link)
        except OSError as error:
            if error.errno in _NEVER_HERE:
                return LinkOutcome.IMPOSSIBLE
            if error.errno == errno.ENOENT and self._folder(folder).exists:
                return LinkOutcome.MISSED
            self._troubles[folder] = error.strerror or os.strerror(error.errno or 0)
            return LinkOutcome.FAILED
        self._troubles.pop(folder, None)
        self._paths[link.segment] = target
        self._unsynced.add(folder)
        return LinkOutcome.MADE

    def list_removed(self) -> list[int]:
        """Return the segments whose links somebody has removed, where their folders can be seen."""
        names: dict[str, set[str] | None] = {}
        removed = []
        for segment, path in self._paths.items():
            folder, _, name = path.rpartition("/")
            if folder not in names:
                names[folder] = self._find_names(folder)
            present = names[folder]
            if present is not None and name not in present:
                removed.append(segment)
        return removed

    def _find_names(self, folder: str) -> set[str] | None:
        """Return the names in a folder, none if it is gone, None if it cannot be listed now."""
        try:
            return set(self._folder(folder).list_names())
        except FileNotFoundError:
            return set()
        except OSError:
            return None

    def forget(self, segment: int) -> None:
        """Forget a link that somebody has removed."""
        self._paths.pop(segment, None)

    def relabel(self, segment: int, link: LinkName) -> None:
        """Give a segment's link another name: of another segment, which has none."""
        folder, name = os.path.split(self._paths[segment])
        target = link.encode()
        with suppress(OSError):
            self._folder(folder).move(name, self._folder(folder), target)
            del self._paths[segment]
            self._paths[link.segment] = os.path.join(folder, target)
            self._unsynced.add(folder)

    def remove(self, segment: int) -> bool:
        """Remove the segment's link; return False if there was none.

        One that cannot be removed now is removed by a later `sync`.
        """
        path = self._paths.pop(segment, None)
        if path is None:
            return False
        if not self._paths:
            self._paths.clear()  # gives back the memory of the table
        self._doomed[segment] = path
        self._remove_doomed()
        return True

    def set_aside(self, segment: int) -> str | None:
        """Move a link to where a person finds it; return the folder, None if there is no link.

        If it cannot be moved it stays where it is, and is set aside at the next start.
        """
        path = self._paths.get(segment)
        if path is None:
            return None
        folder = os.path.join(os.path.dirname(path), UNKNOWN)
        with suppress(OSError):
            self._make_folder(folder)
        self._move(segment, folder)
        del self._paths[segment]
        return folder

    def is_being_removed(self, segment: int) -> bool:
        """Return whether a link should be gone and is not yet: it must stay known until then."""
        return segment in self._doomed

    def sync(self) -> None:
        """Make durable what was changed in the folders; what cannot be is tried again next time."""
        self._remove_doomed()
        for folder in list(self._unsynced):
            try:
                with suppress(FileNotFoundError):  # removed by somebody, with all that was in it
                    self._folder(folder).sync()
            except OSError as error:
                self._troubles[folder] = os.strerror(error.errno or 0)
            else:
                self._unsynced.discard(folder)

    def _take_over(self, path: str, link: LinkName) -> int:
        """Take over a link of an earlier run, or of somebody else's making; return its segment.

        It gets a new one, drawn by lot, if its name has none or that of another link.
        """
        segment = link.segment
        while not segment or segment in self._paths:
            segment = secrets.randbits(53)
        self._paths[segment] = path
        if segment != link.segment:
            self.relabel(segment, LinkName(segment, link.source, link.path))
        return segment

    def _folder(self, path: str) -> LinkFolder:
        return self._opened.setdefault(path, LinkFolder(path))

    def _link(self, found: Handle, path: str, link: LinkName) -> str:
        folder, name = self._folder(path), link.encode()
        try:
            folder.link(found, name)
        except FileNotFoundError:
            if folder.exists:
                raise
            self._make_folder(path)  # somebody has removed it
            folder.link(found, name)
        except FileExistsError:
            if not os.path.samestat(folder.stat(name), found.status):
                raise  # else it is back, with the file system that it is on
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            name = LinkName(link.segment).encode()
            folder.link(found, name)
        return os.path.join(path, name)

    def _make_folder(self, path: str) -> None:
        if self._folder(path).make():
            self._unsynced.add(os.path.dirname(path))

    def _move(self, segment: int, folder: str) -> None:
        former, name = os.path.split(self._paths[segment])
        with suppress(OSError):  # FileExistsError, if a link of that name is there
            self._folder(former).move(name, self._folder(folder), name)
            self._paths[segment] = os.path.join(folder, name)
            self._unsynced |= {folder, former}

    def _remove_doomed(self) -> None:
        for segment, path in list(self._doomed.items()):
            folder, name = os.path.split(path)
            try:
                with suppress(FileNotFoundError):  # somebody else has removed it
                    self._folder(folder).remove(name)
            except OSError as error:
                self._troubles[folder] = error.strerror or os.strerror(error.errno or 0)
                continue
            del self._doomed[segment]
            self._unsynced.add(folder)

    def _list_all_links(self, path: str) -> list[tuple[str, LinkName]]:
        """Return the links in a folder, none if it is not there, or not ours.

        Raise StateUnavailable or OSError for anything else: a broken disk, a server that is away or
        other permissions hide the last copies of what was deleted, and they must not count as gone.
        """
        try:
            names = self._folder(path).list_names()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (ForeignFolder, UntrustedLink) as error:
            if path in self.folders:
                self._troubles[path] = error.strerror or "it is not ours"
            return []
        except PermissionError as error:
            raise StateUnavailable(
                f"cannot list the folder of hard links {path} ({error.strerror}): let this "
                "user list and search it; its files may be the last copies of what was deleted, "
                "and it is tried again until then"
            ) from error
        return list(_parse_links(names))


def _list_links(folder: str) -> Iterator[tuple[str, LinkName]]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    yield from _parse_links(names)


def _parse_links(names: Iterable[str]) -> Iterator[tuple[str, LinkName]]:
    for name in names:
        if link := LinkName.parse(name):
            yield name, link
