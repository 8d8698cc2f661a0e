"""Which names rotation gives to files, and which files came and went under a name between polls.

A busy log may be rotated twice between two polls: `a.jsonl.2` then has lines that were never seen
under the name `a.jsonl`, and no glob matches it.
"""

from __future__ import annotations

import os
import re
import stat

from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.file_table import Directory, File
from tracesidecar.tail.segments import SegmentState

_ROTATED = re.compile(r"(.+)[.\-_][0-9][0-9.:T_-]*(?:\.gz|\.zst)?", re.DOTALL)
"""What rotation makes of a name: `a.jsonl.1`, `a.jsonl-20261121.gz`."""


def is_rotated_name(name: str, original: str) -> bool:
    """Return whether a name is what rotation makes of another."""
    match = _ROTATED.fullmatch(name)
    return match is not None and match.group(1) == original


class RotatedNames:
    """Remembers from which followed names files were rotated away."""

    def __init__(self, globs: SourceGlobs) -> None:
        self._globs = globs

    def note(self, location: FileLocation, modified_ns: int) -> bool:
        """Remember that a file was rotated away from a name.

        Return False if no source follows that name.
        """
        if self._globs.source_of(location.path) is None:
            return False
        rotated = location.directory.rotated
        rotated[location.name] = min(modified_ns, rotated.get(location.name, modified_ns))
        return True

    def recall(self, file: File) -> None:
        """Remember, after a restart, from what name a file was rotated away."""
        match = _ROTATED.fullmatch(file.name)
        if file.state in (SegmentState.ENDED, SegmentState.MISSING):
            self.note(FileLocation(file.directory, file.name, None), file.modified_ns)
        elif match is not None and self._globs.source_of(file.path) is None:
            self.note(FileLocation(file.directory, match.group(1), None), file.modified_ns)

    def locate(self, directory: Directory, name: str) -> FileLocation | None:
        """Return the location of a file if it had a followed name between two polls.

        Its name is that of a file that was rotated away, and it was written since then.
        """
        match = _ROTATED.fullmatch(name) if directory.rotated else None
        since = directory.rotated.get(match.group(1)) if match else None
        if match is None or since is None:
            return None
        try:
            status = os.stat(os.path.join(directory.path, name), follow_symlinks=False)
        except OSError:
            return None
        if status.st_mtime_ns < since or not stat.S_ISREG(status.st_mode):
            return None
        return FileLocation(directory, name, self._globs.source_in(directory, match.group(1)))
