"""Symbolic links in the walked directories: which are followed, and which are skipped."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping

from tracesidecar.directories import Handle, LinkNotFollowed, UntrustedLink
from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.discovery.walk_findings import WalkFindings
from tracesidecar.tail.discovery.walked_directories import WalkedDirectories
from tracesidecar.tail.file_table import Directory, FileTable

_MOST_REPORTED = 100
"""How many skipped links of a source are reported one by one: an agent may make very many."""


class SymbolicLinks:
    """Follows the links that their sources allow, once each, and counts the others."""

    def __init__(
        self,
        tree: Tree,
        globs: SourceGlobs,
        files: FileTable,
        directories: WalkedDirectories,
        *,
        own: OwnPaths,
    ) -> None:
        """Follow no link to what is `own`."""
        self._tree = tree
        self._globs = globs
        self._files = files
        self._directories = directories
        self._own = own
        self._skipped: dict[str, Counter[int]] = {}
        self._reported: Counter[int] = Counter()
        self._reported_paths: set[str] = set()

    def count_skipped(self) -> Mapping[int, int]:
        """Return how many links each source does not follow."""
        total = Counter[int]()
        for counts in self._skipped.values():
            total.update(counts)
        return total

    def note_skipped(self, directory: Directory, counts: Counter[int]) -> None:
        """Note how many links were skipped in the last listing of a directory, by source."""
        if counts:
            self._skipped[directory.path] = counts
        else:
            self._skipped.pop(directory.path, None)

    def follow(
        self, directory: Directory, name: str, findings: WalkFindings, skipped: Counter[int]
    ) -> list[Directory]:
        """Follow a symbolic link for the sources that allow it; return the directory if it is new.

        For the others it is skipped, without a look at what it leads to.
        """
        path = directory.locate(name)
        fresh: list[Directory] = []
        for symlinks, claims in self._globs.claims_on_link(directory, name).items():
            source = min(key[0] for key in claims)
            problem = "" if symlinks != "never" else 'the source has symlinks = "never"'
            if not problem:
                try:
                    with self._tree.follow(path, None if symlinks == "root" else symlinks) as found:
                        real, target = found
                except (LinkNotFollowed, UntrustedLink) as error:
                    problem = error.strerror or "it is not followed"
                except OSError:
                    continue  # dangling, or a loop of links
            if problem:
                skipped[source] += 1
                if self._reported[source] < _MOST_REPORTED:
                    self._reported[source] += path not in self._reported_paths
                    self._reported_paths.add(path)
                    findings.skipped.append((path, problem))
            elif stat.S_ISDIR(target.status.st_mode):
                fresh += self._directories.enter_below(directory, name, linked=True, claims=claims)
            else:
                source_of_file = self._globs.source_in(directory, name, claims)
                link = FileLocation(directory, name, source_of_file)
                self._follow_to_file(link, real, target, findings)
        return fresh

    def _follow_to_file(
        self,
        link: FileLocation,
        real: str,
        target: Handle,
        findings: WalkFindings,
    ) -> None:
        source, path = link.source, link.path
        if source is not None and self._is_own(real, target):
            findings.own.append(path)
            return
        if source is None or self._files.find(*target.inode) is not None:
            return
        if not target.is_regular:
            findings.not_regular.append(path)
            return
        findings.unknown.append(
            FileLocation(
                self._directories.find(os.path.dirname(real)), os.path.basename(real), source
            )
        )

    def _is_own(self, path: str, target: Handle) -> bool:
        if self._own.has(target.status):
            return True
        try:
            with self._tree.directory(os.path.dirname(path)) as descriptor:
                return self._own.contains(descriptor)
        except OSError:
            return False
