"""Whether a file has kept its content: the size, the first bytes, and those before `reach`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tracesidecar.model import BEGINNING, TAIL_BYTES, Checkpoint
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import File
from tracesidecar.tail.fingerprint import Fingerprinter, Prefix
from tracesidecar.tail.reading.open_files import OpenedFile, OpenFiles
from tracesidecar.tail.segments import LossReason
from tracesidecar.tail.tracking.landmarks import LandmarkKeeper


@dataclass(frozen=True, slots=True)
class Verdict:
    """A file as it was found. `reason` says why it is no longer the same, None if it is."""

    opened: OpenedFile
    status: os.stat_result
    reason: LossReason | None


class Verification:
    """Compares a file's content with its fingerprints, and says how far it is the same."""

    def __init__(
        self,
        open_files: OpenFiles,
        fingerprinter: Fingerprinter,
        landmarks: LandmarkKeeper,
        *,
        tree: Tree,
    ) -> None:
        self._tree = tree
        self._open_files = open_files
        self._fingerprinter = fingerprinter
        self._landmarks = landmarks

    def verify(self, file: File, broken: LossReason | None = None) -> Verdict | None:
        """Reopen a file and compare it; None if it cannot be opened or read.

        `broken` is the reason that a reader has found already.
        """
        try:
            return self._verify(file, broken)
        except OSError:
            return None

    def _verify(self, file: File, broken: LossReason | None) -> Verdict | None:
        opened = self._open_files.reopen(file)
        status = self._open_files.status(file)
        if opened is None or status is None:
            return None
        if broken in ("corrupt", "bomb") and (status.st_size, status.st_mtime_ns) != (
            file.size,
            file.modified_ns,
        ):
            broken = None  # it is another archive by now, or a whole one
        reason = broken or self._compare(file, opened, status)
        if reason is None and self._is_written_in_place(file, opened, status):
            reason = "changed"
        return Verdict(opened, status, reason)

    def find_unchanged(self, file: File, verdict: Verdict) -> Checkpoint:
        """Return up to where a file that has changed is as it was read."""
        if file.compression != "none":
            return BEGINNING
        try:
            return self._landmarks.find_unchanged(file, verdict.opened, verdict.status.st_size)
        except OSError:
            return BEGINNING

    def _is_written_in_place(self, file: File, opened: OpenedFile, status: os.stat_result) -> bool:
        """Return whether a file that was written to, and did not grow, holds something else."""
        return (
            file.compression == "none"
            and status.st_size == file.size
            and status.st_mtime_ns != file.modified_ns
            and not self._landmarks.is_unchanged(file, opened)
        )

    def is_same_at(self, file: File, path: str) -> bool:
        """Return whether what a path leads to has the known fingerprints.

        It is opened for this only: a file that was kept open may be another one by now. A file of
        which more is known than is there is not the same, as long as the rest can still be read.
        """
        try:
            with self._open_files.peek(file, path) as (opened, status):
                kept = self._open_files.status(file)
                if kept is not None and kept.st_size > status.st_size:
                    return False
                return bool(file.prefix_length) and self._compare(file, opened, status) is None
        except OSError:
            return False

    def is_another_at(self, file: File, path: str) -> bool:
        """Return whether what a path leads to begins with something else than a file did."""
        try:
            with self._open_files.peek(file, path) as (opened, _):
                return bool(file.prefix_length) and not self._fingerprinter.begins_with(
                    opened, file.prefix
                )
        except OSError:
            return False

    def is_outdated(self, file: File) -> bool:
        """Return whether a live file is no longer what it was when it was last looked at.

        Its name is gone, or is another file's, or it was truncated or written anew, or nobody can
        tell. It is not if it has only grown.
        """
        try:
            status = self._tree.stat(file.path)
            if (status.st_dev, status.st_ino) != (file.device, file.inode):
                return True
            if (status.st_size, status.st_mtime_ns) == (file.size, file.modified_ns):
                return False
            opened = self._open_files.open(file)
            return opened is None or self._compare(file, opened, status) is not None
        except OSError:
            return True

    def longer_prefix(self, file: File, opened: OpenedFile) -> Prefix | None:
        """Return a longer prefix of a file that has grown, None if there is none."""
        if file.prefix_length >= TAIL_BYTES or (
            file.length <= file.prefix_length and file.compression == "none"
        ):
            return None
        try:
            return self._fingerprinter.prefix(opened)
        except OSError:
            return None

    def _compare(self, file: File, opened: OpenedFile, status: os.stat_result) -> LossReason | None:
        is_plain = file.compression == "none"
        if status.st_size < (file.reach_offset if is_plain else file.size):
            return "truncated"
        if self._fingerprinter.begins_with(opened, file.prefix) and (
            not is_plain or self._fingerprinter.matches(opened, file.reach)
        ):
            return None
        return "truncated" if status.st_size < file.size else "changed"
