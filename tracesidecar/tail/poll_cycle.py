"""What a turn visits: everything by polling; with change notices what was announced, and the quiet
files one after the other.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict

from tracesidecar.tail.discovery.poll_schedule import ROUND_SECONDS
from tracesidecar.tail.discovery.walk import Findings, Place
from tracesidecar.tail.discovery.watcher import Watcher
from tracesidecar.tail.file_table import Directory, File
from tracesidecar.tail.tracking.changes import Changes
from tracesidecar.tail.tracking.new_files import NewFiles
from tracesidecar.tail.tracking.scan_context import Parts

_LIST_ALL_SECONDS = 300.0
"""How often every directory is listed whether it seems changed or not."""


class PollCycle:
    """Visits directories and files, and passes on what it meets."""

    def __init__(
        self,
        parts: Parts,
        admission: NewFiles,
        survey: Changes,
        notices: Watcher | None,
        *,
        poll_interval: float,
    ) -> None:
        self._parts = parts
        self._admission = admission
        self._survey = survey
        self._notices = notices
        self._poll_interval = poll_interval
        self._listed_at = float("-inf")
        self._polled_at = float("-inf")
        self._is_first = True

    def visit(self, now: float, *, full: bool) -> bool:
        """Take a round; True when every directory has been listed in it."""
        announced = self._announced()
        is_searching = (
            full
            or self._is_first
            or self._admission.needs_search()
            or now - self._listed_at >= _LIST_ALL_SECONDS
        )
        relies = (
            self._notices is not None and self._notices.is_working and self._parts.pace.trusts(now)
        )
        interval = ROUND_SECONDS if relies else self._poll_interval / 2
        is_due = is_searching or now - self._polled_at >= interval
        if is_due:
            self._polled_at = now
            self._sort_in(
                self._parts.discovery.walk(self._parts.discovery.directories(), full=is_searching)
            )
        if is_searching:
            self._listed_at = now
        if is_searching or (is_due and not relies):
            self._look_at_all(announced)
        else:
            self._follow(announced)
        if relies:
            for file in self._parts.pace.share(now):
                self._survey.look(file, announced=False)
        self._is_first = False
        return is_searching

    def _announced(self) -> set[str]:
        if self._notices is None:
            return set()
        if self._notices.trouble:
            sentence = f"change notices are not available here ({self._notices.trouble}): files are looked at every poll_interval instead"
            self._parts.turn.warn("notices", "", sentence)
        return self._notices.drain()

    def _look_at_all(self, announced: set[str]) -> None:
        is_judging = self._notices is not None and not self._is_first
        together: defaultdict[Directory, list[File]] = defaultdict(list)
        for file in self._parts.files:
            together[file.directory].append(file)
        for directory, files in together.items():
            for file in _restless(directory, files):
                self._survey.look(file, announced=not is_judging or file.path in announced)

    def _follow(self, announced: set[str]) -> None:
        """Look at what was announced and at what is restless."""
        parts = self._parts
        findings = Findings()
        directories: dict[str, Directory] = {}
        for path in announced:
            directory = self._hear(path, findings)
            if directory is not None:
                directories[directory.path] = directory
        findings.merge(parts.discovery.walk(directories.values(), full=True))
        self._sort_in(findings)
        for file in list(parts.pace.restless.values()):
            self._survey.look(file)

    def _hear(self, path: str, findings: Findings) -> Directory | None:
        """Look at the file of an announced path; return the directory that must be listed because
        of it.
        """
        parts = self._parts
        place = parts.discovery.place(path)
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            findings.nameless += (
                []
                if place is None
                else [file for file in place.directory.files if file.name == place.name]
            )
            return parts.discovery.walked(path)
        if not stat.S_ISREG(status.st_mode):
            return parts.discovery.walked(path) or (place.directory if place is not None else None)
        file = parts.files.find(status.st_dev, status.st_ino)
        if file is not None:
            findings.nameless.append(file)
            if place is not None and (
                file.directory is not place.directory or file.name != place.name
            ):
                findings.renamed.append((file, place))
        elif place is not None and place.source is None:
            place = parts.discovery.rotated(place.directory, place.name)
        if file is None and place is not None:
            findings.unknown.append(place)
        return None

    def _sort_in(self, findings: Findings) -> None:
        """Take over what a walk met; names first, so that nothing that only moved is taken for
        gone.
        """
        turn = self._parts.turn
        for file, place in findings.renamed:
            self._survey.rename(file, place)
        for file in findings.nameless:
            self._survey.look(file)
        for place in sorted(findings.unknown, key=lambda place: place.source or 0):
            self._meet(place)
        for path in findings.odd:
            turn.refused += turn.warn("refused", path, "this is not a regular file: it is not read")
        for path in findings.unreadable:
            turn.warn(
                "unreadable",
                path,
                "the directory cannot be listed: its files are taken when it can be",
            )

    def _meet(self, place: Place) -> None:
        parts = self._parts
        try:
            status = os.stat(place.path)
        except OSError:
            return
        known = parts.files.find(status.st_dev, status.st_ino)
        if known is not None:
            if known.state == "missing":
                self._survey.rename(known, place)
            return
        twins = parts.files.with_inode(status.st_ino)
        if not any(self._survey.is_moved_device(file, place, status) for file in twins):
            self._admission.meet(place, status)


def _restless(directory: Directory, files: list[File]) -> list[File]:
    """Return those that do not look as they did.

    Ten thousand of these looks a second are all that an idle daemon does.
    """
    try:
        descriptor = os.open(directory.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return files
    try:
        return [file for file in files if not _is_quiet(file, descriptor)]
    finally:
        os.close(descriptor)


def _is_quiet(file: File, directory: int) -> bool:
    """Compare by name within the open directory: the way to it is walked once for all its files,
    which saves a quarter.
    """
    try:
        status = os.stat(file.name, dir_fd=directory)
    except OSError:
        return False
    return (
        status.st_ctime_ns == file.changed_ns
        and status.st_size == file.size
        and status.st_ino == file.inode
    )
