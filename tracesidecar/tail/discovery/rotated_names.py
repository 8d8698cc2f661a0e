"""Which names rotation gives to files, and which files came and went under a name between polls.

Rotation makes `a.jsonl.1`, `a.jsonl-20261121.gz`, `a-20261121.jsonl.zst` or `a.jsonl.gz` of
`a.jsonl`: these names are a family. A busy log may be rotated twice between two polls: `a.jsonl.2`
then has lines that were never seen under the name `a.jsonl`.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import Directory, File
from tracesidecar.tail.segments import SegmentState

_ARCHIVE = re.compile(r"(.+)\.(?:gz|zst)", re.DOTALL)
_NUMBERED = re.compile(r"(.+)[.\-_]([0-9][0-9.:T_-]*)", re.DOTALL)
"""`a.jsonl.1`, `a.jsonl-20261121`, and `a.jsonl.2026-11-21_10` of Python's handlers."""

_INSIDE = re.compile(
    r"(.+?)(?:\.([0-9]{1,5})|[.\-_]([0-9]{4}[0-9.:T_-]{4,}?))(\.[A-Za-z][A-Za-z0-9]*)", re.DOTALL
)
"""`a.1.jsonl` and `a-20261121.jsonl` of logrotate's `extension`: a number only after a dot, because
`session-2.jsonl` is another session.
"""

_LONGEST_INDEX = 5
"""More digits than this are a date, and the greatest is the youngest; an index counts from the
youngest.
"""


class RotatedName(NamedTuple):
    """What a name says of its file: whose family it belongs to, and how old it is in it.

    `age` sorts the files of a family, oldest first: dates, then indexes from the highest, then an
    archive without either, and last the file that is written.
    """

    original: str
    age: tuple[int, int]


def rotations(name: str) -> Iterator[RotatedName]:
    """Yield how rotation may have made this name; an archive may be of a rotated file, or of it."""
    archive = _ARCHIVE.fullmatch(name)
    stem = name if archive is None else archive.group(1)
    if match := _NUMBERED.fullmatch(stem):
        yield RotatedName(match.group(1), _age(match.group(2)))
    if match := _INSIDE.fullmatch(stem):
        yield RotatedName(match.group(1) + match.group(4), _age(match.group(2) or match.group(3)))
    if archive is not None:
        yield RotatedName(stem, (2, 0))


def is_rotated_name(name: str, original: str) -> bool:
    """Return whether a name is what rotation makes of another."""
    return any(each.original == original for each in rotations(name))


def rank_in_family(name: str) -> tuple[str, tuple[int, int], bool]:
    """Return what sorts the names of a directory by family, and each family oldest first.

    An archive comes after the file that it may be made of.
    """
    found = next(rotations(name), RotatedName(name, (3, 0)))
    original = found.original
    if found.age == (2, 0):
        original, age, _ = rank_in_family(original)
        return original, age, True
    return original, found.age, _ARCHIVE.fullmatch(name) is not None


def _age(number: str) -> tuple[int, int]:
    digits = re.sub("[^0-9]", "", number)
    return (1, -int(digits)) if len(digits) <= _LONGEST_INDEX else (0, int(digits))


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
