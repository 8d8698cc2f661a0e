"""Which known files a poll looks at.

Without change events, a poll compares every file. With them, it looks at the announced files, at
those that changed lately, and at a share of the quiet ones.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.discovery.walked_directories import WalkedDirectories
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.segments import SegmentState

FULL_CYCLE_SECONDS = 30.0
"""Within this time every quiet file is compared once while change events work."""

DISTRUST_SECONDS = 300.0
"""How long change events are not relied on after they missed a change."""

COMPARED_AT_ONCE = 256

_LATE_NS = 3_000_000_000
"""A change this old must have been announced."""


class PollSchedule:
    """Chooses the files to look at, and judges whether change events can be relied on."""

    def __init__(self, files: FileTable, directories: WalkedDirectories, tree: Tree) -> None:
        self._files = files
        self._directories = directories
        self._tree = tree
        self._recheck: defaultdict[int, dict[int, File]] = defaultdict(dict)
        self._changed: dict[int, File] = {}
        self._round: list[File] = []
        self._share = 0.0
        self._last = float("-inf")
        self._distrusted_until = float("-inf")

    def trusts(self, now: float) -> bool:
        """Return whether change events have missed nothing lately."""
        return now >= self._distrusted_until

    def distrust(self, now: float, changed_ns: int) -> None:
        """Note a change that was not announced; a very young one may still be."""
        if time.time_ns() - changed_ns > _LATE_NS:
            self._distrusted_until = now + DISTRUST_SECONDS

    def recheck_soon(self, file: File) -> None:
        """Look at a file in every poll until it rests."""
        self._recheck[file.source][file.id] = file
        self.note_changed(file)

    def note_changed(self, file: File) -> None:
        """Note that a file has another name or other first bytes than before, or may have."""
        self._changed[file.id] = file

    def note_looked(self, file: File) -> None:
        """Look at other files first in the next poll, if there is no time for all of them."""
        files = self._recheck[file.source]
        if files.pop(file.id, None) is not None:
            files[file.id] = file

    def rest(self, file: File) -> None:
        """Count a file among the quiet ones, unless no change event could tell when it wakes."""
        if self._directories.is_watched(file.directory):
            self.forget(file)

    def forget(self, file: File) -> None:
        """No longer look at a file in every poll."""
        files = self._recheck[file.source]
        files.pop(file.id, None)
        if not files:
            # gives back the memory of the table that a first scan of very many files has left
            files.clear()

    def files_to_recheck(self) -> dict[int, list[File]]:
        """Return the files of each source that change, or changed lately."""
        return {source: list(files.values()) for source, files in self._recheck.items()}

    def take_changed(self) -> list[File]:
        """Return the files that have changed since the last call, as far as they are known."""
        changed, self._changed = self._changed, {}
        return [file for file in changed.values() if file.id in self._files]

    def quiet_share(self, now: float) -> list[File]:
        """Return the quiet files whose turn it is: each has one in `FULL_CYCLE_SECONDS`."""
        elapsed = min(now - self._last, FULL_CYCLE_SECONDS)
        self._last = now
        if not self._round:
            self._round = list(self._files)
            self._share = len(self._round) / FULL_CYCLE_SECONDS
        count = int(self._share * elapsed) + 1
        share = self._round[-count:]
        del self._round[-count:]
        return [file for file in share if file.id in self._files]

    def list_new_files(self) -> list[File]:
        """Return the files about which nothing is decided yet."""
        return [file for file in self._files if file.state is SegmentState.NEW]

    def begin_round(self, running: Collection[int]) -> dict[int, Iterator[list[File]]]:
        """Compare all files with their stat, by source, some at a time as the caller goes on.

        Not those of the sources whose round is still `running`.

        Each step yields those that differ. Ten thousand of these comparisons a second are all that
        an idle daemon does.
        """
        together: defaultdict[int, defaultdict[Directory, list[File]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for file in self._files:
            if file.source not in running:
                together[file.source][file.directory].append(file)
        return {source: self._go_round(folders) for source, folders in together.items()}

    def _go_round(self, folders: Mapping[Directory, list[File]]) -> Iterator[list[File]]:
        for directory, files in folders.items():
            for start in range(0, len(files), COMPARED_AT_ONCE):
                some = files[start : start + COMPARED_AT_ONCE]
                changed = self._find_changed(directory, some)
                yield [file for file in changed if file.id in self._files]

    def _find_changed(self, directory: Directory, files: list[File]) -> list[File]:
        try:
            with self._tree.directory(directory.path) as descriptor:
                return [file for file in files if not _is_quiet(file, descriptor)]
        except OSError:
            return [file for file in files if file.state is not SegmentState.AWAY]


def _is_quiet(file: File, directory: int) -> bool:
    """Compare by name within the open directory.

    The kernel then walks the path to it once for all its files, which saves a quarter of the time.
    """
    try:
        status = os.stat(file.name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return (
        status.st_ctime_ns == file.changed_ns
        and status.st_size == file.size
        and status.st_ino == file.inode
        and file.place in (file.directory.place, None)
        and file.state is not SegmentState.AWAY
    )
