"""Which source wants a file, by its name and by the names of its rotations."""

from __future__ import annotations

import os
import time

from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.rotated_names import RotatedNames
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.discovery.walked_directories import WalkedDirectories
from tracesidecar.tail.file_table import Directory, File, FileTable


class FileLocator:
    """Locates files by the globs of the sources, and by what was rotated away from their names."""

    def __init__(
        self,
        tree: Tree,
        globs: SourceGlobs,
        rotated_names: RotatedNames,
        files: FileTable,
        directories: WalkedDirectories,
    ) -> None:
        self._tree = tree
        self._globs = globs
        self._rotated_names = rotated_names
        self._files = files
        self._directories = directories

    def locate_in(self, directory: Directory, name: str) -> FileLocation:
        """Return the location of a name in a directory, with the source that wants it, if any."""
        source = self._globs.source_in(directory, name)
        if source is None:
            source = self._rotated_names.find_family(directory, name)
        return FileLocation(directory, name, source)

    def locate_unseen(self, directory: Directory, name: str) -> FileLocation | None:
        """Return the location of a file that came and went under a followed name between polls."""
        return self._rotated_names.locate(directory, name)

    def locate(self, path: str, source: int) -> FileLocation:
        """Return the location of a path that a source follows, walked or not."""
        folder, name = os.path.split(path)
        return FileLocation(self._directories.find(folder), name, source)

    def locate_move(self, old: str, new: str) -> tuple[FileLocation, FileLocation] | None:
        """Return both ends of a move out of what the globs match, None for any other move."""
        source = self._globs.source_of(old)
        if source is None or self._globs.source_of(new) is not None:
            return None
        (old_folder, old_name), (new_folder, new_name) = os.path.split(old), os.path.split(new)
        return (
            FileLocation(self._directories.find(old_folder), old_name, source),
            FileLocation(self._directories.find(new_folder), new_name, source),
        )

    def is_matched(self, file: File) -> bool:
        """Return whether a glob matches the file's name as it is."""
        return self._globs.source_of(file.path) is not None

    def has_matched(self, file: File) -> bool:
        """Return whether a glob matches the name that the file has, or had."""
        return any(self._globs.source_of(path) is not None for path in (file.path, file.origin))

    def list_siblings(self, directory: Directory) -> list[FileLocation]:
        """Return every regular file of a directory, also those that no glob matches."""
        began = time.monotonic()
        try:
            _, entries = self._tree.list_entries(directory.path)
        except OSError:
            return []
        directory.rest_after(time.monotonic() - began)
        return [self.locate_in(directory, entry.name) for entry in entries if entry.is_file]

    def note_rotated(self, old: FileLocation, modified_ns: int) -> bool:
        """Note that a file was rotated away from a name; return False if nobody follows that."""
        return self._rotated_names.note(old, modified_ns)

    def search_rotated(self, directory: Directory) -> list[FileLocation]:
        """Return what came and went under the names from which files were rotated away.

        Between two polls, further files may have been written under such a name and rotated away.
        """
        located = (
            self._rotated_names.locate(directory, sibling.name)
            if sibling.source is None
            else sibling
            for sibling in self.list_siblings(directory)
            if self._globs.source_in(directory, sibling.name) is None
        )
        return [location for location in located if location is not None]

    def recall_rotations(self) -> None:
        """After a start, remember from what names the known files were rotated away."""
        for file in self._files:
            self._rotated_names.recall(file)
