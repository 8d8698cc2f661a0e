"""Which segments can rest in the journal, as far as their folders show."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import Directory, File
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import IN_USE_NS, Folder, Rest, SegmentState


def find_rest(
    sources: Sequence[SourceOptions], folders: Iterable[Folder], linked: frozenset[int]
) -> Rest:
    """Return what a start would leave in the journal, for a process that does not follow files.

    `folders` are those of the segments that may rest, and `linked` the segments with a hard link.
    """
    tree, globs = Tree(sources), SourceGlobs(sources)
    return choose_rest(folders, linked, tree, globs, DirectoryMounts(globs, tree))


def choose_rest(
    folders: Iterable[Folder],
    linked: frozenset[int],
    tree: Tree,
    globs: SourceGlobs,
    directory_mounts: DirectoryMounts,
) -> Rest:
    """Look into each folder once: what is gone from it may rest, if nothing can go on with it."""
    chosen: list[int] = []
    present: list[str] = []
    listed: dict[str, bool] = {}
    for folder in folders:
        if not _is_in_place(folder, tree, globs, directory_mounts):
            continue
        if folder.path not in listed:
            found = _list(folder.path, tree, globs)
            listed[folder.path] = found is not None
            present += found or ()
        if listed[folder.path]:
            chosen.append(folder.id)
    return Rest(chosen, present, time.time_ns() - IN_USE_NS, linked)


def _is_in_place(
    folder: Folder, tree: Tree, globs: SourceGlobs, directory_mounts: DirectoryMounts
) -> bool:
    """Return whether a file that is not in a folder is gone, and not its file system."""
    root = globs.root_of(folder.path)
    return (
        root is not None
        and directory_mounts.has_ground(_stand_in(folder))
        and not _is_empty(root, tree)
    )


def _list(folder: str, tree: Tree, globs: SourceGlobs) -> list[str] | None:
    """Return the paths in a folder; None if a file that is not there may yet be something.

    Its lines may go on in a neighbour that nobody follows.
    """
    try:
        _, found = tree.list_entries(folder)
        paths = [os.path.join(folder, entry.name) for entry in found]
        if any(
            entry.is_file and globs.source_of(path) is None
            for entry, path in zip(found, paths, strict=True)
        ):
            return None
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        return None
    return paths


def _is_empty(root: str, tree: Tree) -> bool:
    try:
        return tree.is_empty(root)
    except OSError:
        return True


def _stand_in(folder: Folder) -> File:
    """Return a file that stands for one of a folder where only its place counts."""
    return File(
        folder.id,
        0,
        Directory(folder.path, 0, 0, {}, linked=False),
        "",
        folder.device,
        0,
        0,
        state=SegmentState.MISSING,
        place=folder.place,
    )
