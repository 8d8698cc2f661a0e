"""Which files came and went under a followed name between two polls.

A busy log may be rotated twice between them: `a.jsonl.2` then has lines that were never seen under
the name `a.jsonl`.
"""

from __future__ import annotations

import stat

from tracesidecar.rotation import rotations
from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import Directory, File
from tracesidecar.tail.segments import SegmentState


class RotatedNames:
    """Remembers from which followed names files were rotated away."""

    def __init__(self, globs: SourceGlobs, tree: Tree) -> None:
        self._globs = globs
        self._tree = tree

    def find_family(self, directory: Directory, name: str) -> int | None:
        """Return the source that takes a file of a walked directory with its family."""
        for rotated in rotations(name):
            source = self._globs.source_in(directory, rotated.original)
            if source is not None and self._globs.takes_family(source, directory.locate(name)):
                return source
        return None

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
        if file.state in (SegmentState.ENDED, SegmentState.MISSING):
            self.note(FileLocation(file.directory, file.name, None), file.modified_ns)
        elif self._globs.source_of(file.path) is None:
            for rotated in rotations(file.name):
                self.note(FileLocation(file.directory, rotated.original, None), file.modified_ns)

    def locate(self, directory: Directory, name: str) -> FileLocation | None:
        """Return the location of a file if it had a followed name between two polls.

        Its name is that of a file that was rotated away, and it was written since then.
        """
        if not directory.rotated:
            return None
        for rotated in rotations(name):
            since = directory.rotated.get(rotated.original)
            if since is None:
                continue
            try:
                status = self._tree.stat(directory.locate(name))
            except OSError:
                return None
            if status.st_mtime_ns < since or not stat.S_ISREG(status.st_mode):
                continue
            source = self._globs.source_in(directory, rotated.original)
            return FileLocation(directory, name, source)
        return None
