"""Build what walks the directories, and connect it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracesidecar.progress import Progress
from tracesidecar.tail.discovery.admission import Admission
from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.discovery.file_locator import FileLocator
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.rotated_names import RotatedNames
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.symbolic_links import SymbolicLinks
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.discovery.walk import DirectoryWalk
from tracesidecar.tail.discovery.walked_directories import WalkedDirectories
from tracesidecar.tail.file_table import FileTable
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.turns import Turns


@dataclass(frozen=True, slots=True)
class Discovery:
    """What walks the directories of some sources, and what it keeps of them."""

    directory_mounts: DirectoryMounts
    admission: Admission
    directories: WalkedDirectories
    links: SymbolicLinks
    locator: FileLocator
    walk: DirectoryWalk


def build_discovery(
    sources: Sequence[SourceOptions],
    tree: Tree,
    globs: SourceGlobs,
    files: FileTable,
    *,
    own: OwnPaths,
    progress: Progress,
    turns: Turns,
) -> Discovery:
    """Build the discovery of the files of these sources; it enters nothing that is `own`."""
    directory_mounts = DirectoryMounts(globs, tree)
    admission = Admission(sources, files, turns)
    directories = WalkedDirectories(
        tree, globs, files, directory_mounts, own=own, admission=admission
    )
    links = SymbolicLinks(tree, globs, files, directories, own=own)
    locator = FileLocator(tree, globs, RotatedNames(globs, tree), files, directories)
    walk = DirectoryWalk(
        tree,
        globs,
        files,
        directory_mounts,
        directories,
        links=links,
        locator=locator,
        progress=progress,
        admission=admission,
        turns=turns,
    )
    return Discovery(directory_mounts, admission, directories, links, locator, walk)
