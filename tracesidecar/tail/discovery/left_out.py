"""Which files beside the followed ones look like traces, and are not taken.

For people who write a configuration: a glob that misses half of an agent's files looks like one
that works.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tracesidecar.directories import LinkNotFollowed, UntrustedLink
from tracesidecar.rotation import rotations
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.source_globs import Root, SourceGlobs
from tracesidecar.tail.discovery.tree import Entry, Tree
from tracesidecar.tail.file_table import Directory
from tracesidecar.tail.holding.link_folder import list_own_folders
from tracesidecar.tail.options import SourceOptions, Symlinks

_TRACE = re.compile(
    r".+\.(?:jsonl|ndjson)(?!\.(?:tmp|temp|part|lock|sw.)$)(?:\.[\w.~-]+)?", re.DOTALL
)
"""A trace, also one that was compressed or copied in a way that nothing here reads: .bz2, .bak."""
_MOST_ENTRIES = 200_000
"""After so many names the search ends: what is left out of a tree is mostly left out early."""


_REASONS: Mapping[Symlinks | Root | None, str] = {
    "never": 'has symlinks = "never"',
    "same_owner": 'has symlinks = "same_owner", and what is linked has another owner',
    "root": "follows only links of root and of the daemon's user there",
}


@dataclass(slots=True)
class LeftOut:
    """Files of one directory that are not taken.

    `rotated`: they belong to the family of `beside`, a file that `source` follows, but the source
    has `rotated = "glob"`. `unmatched`: they have a trace's name, as `beside`, and no glob matches.
    `link`: they are symbolic links, as `beside`, that `source` does not follow, as its `symlinks`
    says; "root" stands for a pattern without a wildcard.
    """

    kind: Literal["rotated", "unmatched", "link"]
    directory: str
    beside: str
    source: str = ""
    files: int = 0
    bytes: int = 0
    symlinks: Symlinks | Root | None = None

    def describe(self) -> str:
        """Return a sentence for people; the caller makes paths printable."""
        files, are, look = ("file", "is", "looks") if self.files == 1 else ("files", "are", "look")
        if self.kind == "link":
            links, are = ("link", "is") if self.files == 1 else ("links", "are")
            return (
                f"{self.files} symbolic {links} in {self.directory}, such as {self.beside}, "
                f'{are} not followed: source "{self.source}" {_REASONS[self.symlinks]}'
            )
        if self.kind == "rotated":
            return (
                f"{self.files} rotated {files} beside {os.path.join(self.directory, self.beside)} "
                f'{are} not matched: source "{self.source}" has rotated = "glob"'
            )
        return (
            f"{self.files} {files} in {self.directory}, such as {self.beside}, "
            f"{look} like traces and {are} matched by no source"
        )


def find_left_out(sources: Sequence[SourceOptions], *, own: Iterable[str] = ()) -> list[LeftOut]:
    """Search the directories that the sources follow, and one level below; blocks.

    What an exclude pattern names is left out on purpose, and is not found. `own` are directories
    that hold no traces, beside those of hard links: the state directory, a lake. What cannot be
    listed is passed over.
    """
    held = list_own_folders(each.hold_directory for each in sources if each.hold_directory)
    globs = SourceGlobs(sources)
    found: dict[tuple[str, str, str], LeftOut] = {}
    tree = Tree(sources)
    for directory, entry in _entries(globs, tree, OwnPaths(own, folders=held)):
        left_out = (
            _judge_link(globs, sources, tree, directory, entry.name)
            if entry.is_link
            else _judge(globs, sources, directory.path, entry.name)
        )
        if left_out is None:
            continue
        key = left_out.kind, left_out.directory, left_out.source and left_out.beside
        if left_out.kind == "link":
            key = left_out.kind, left_out.directory, left_out.source
        known = found.setdefault(key, left_out)
        known.files += 1
        try:
            known.bytes += tree.stat(directory.locate(entry.name)).st_size
        except OSError:
            continue  # it has just been rotated
    return [found[key] for key in sorted(found)]


def _judge(
    globs: SourceGlobs, sources: Sequence[SourceOptions], directory: str, name: str
) -> LeftOut | None:
    path = os.path.join(directory, name)
    if globs.source_of(path) is not None or globs.excludes(path):
        return None
    looks_like_trace = _TRACE.fullmatch(name) is not None
    for rotated in rotations(name):
        original = os.path.join(directory, rotated.original)
        source = globs.source_of(original)
        if source is not None:
            if globs.takes_family(source, path):
                return None
            return LeftOut("rotated", directory, rotated.original, sources[source].name)
        if globs.excludes(original):
            return None
        looks_like_trace = looks_like_trace or _TRACE.fullmatch(rotated.original) is not None
    return LeftOut("unmatched", directory, name) if looks_like_trace else None


def _judge_link(
    globs: SourceGlobs,
    sources: Sequence[SourceOptions],
    tree: Tree,
    directory: Directory,
    name: str,
) -> LeftOut | None:
    for symlinks, claims in globs.claims_on_link(directory, name).items():
        if not _is_followed(tree, directory.locate(name), symlinks):
            source = min(key[0] for key in claims)
            return LeftOut("link", directory.path, name, sources[source].name, symlinks=symlinks)
    return None


def _is_followed(tree: Tree, path: str, symlinks: Symlinks | Root) -> bool:
    if symlinks == "never":
        return False
    try:
        with tree.follow(path, None if symlinks == "root" else symlinks):
            return True
    except (LinkNotFollowed, UntrustedLink):
        return False
    except OSError:
        return True  # dangling, or a loop of links


def _entries(globs: SourceGlobs, tree: Tree, own: OwnPaths) -> Iterator[tuple[Directory, Entry]]:
    """Yield the regular files and links of the directories that the globs follow, each once."""
    pending = [Directory(root, 0, 0, globs.claims_at(root), linked=False) for root in globs.roots]
    seen: set[tuple[int, int]] = set()
    left = _MOST_ENTRIES
    while pending and left > 0:
        directory = pending.pop()
        try:
            with tree.directory(directory.path) as descriptor:
                is_own = own.contains(descriptor)
            status, found = tree.list_entries(directory.path)
        except OSError:
            continue
        inode = status.st_dev, status.st_ino
        if is_own or inode in seen:
            continue
        seen.add(inode)
        left -= len(found)
        for entry in sorted(found):
            if entry.is_file or entry.is_link:
                yield directory, entry
            elif entry.is_directory and directory.claims:
                path = directory.locate(entry.name)
                claims = globs.claims_below(directory, entry.name) | globs.claims_at(path)
                pending.append(Directory(path, 0, 0, claims, linked=False))
