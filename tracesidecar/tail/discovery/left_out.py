"""Which files beside the followed ones look like traces, and are not taken.

For people who write a configuration: a glob that misses half of an agent's files looks like one
that works.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tracesidecar.tail.discovery.rotated_names import rotations
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.file_table import Directory
from tracesidecar.tail.options import SourceOptions

_TRACE = re.compile(
    r".+\.(?:jsonl|ndjson)(?!\.(?:tmp|temp|part|lock|sw.)$)(?:\.[\w.~-]+)?", re.DOTALL
)
"""A trace, also one that was compressed or copied in a way that nothing here reads: .bz2, .bak."""
_MOST_ENTRIES = 200_000
"""After so many names the search ends: what is left out of a tree is mostly left out early."""


@dataclass(slots=True)
class LeftOut:
    """Files of one directory that are not taken.

    `rotated`: they belong to the family of `beside`, a file that `source` follows, but the source
    has `rotated = "glob"`. `unmatched`: they have a trace's name, as `beside`, and no glob matches.
    """

    kind: Literal["rotated", "unmatched"]
    directory: str
    beside: str
    source: str = ""
    files: int = 0
    bytes: int = 0

    def describe(self) -> str:
        """Return a sentence for people; the caller makes paths printable."""
        files, are, look = ("file", "is", "looks") if self.files == 1 else ("files", "are", "look")
        if self.kind == "rotated":
            return (
                f"{self.files} rotated {files} beside {os.path.join(self.directory, self.beside)} "
                f'{are} not matched: source "{self.source}" has rotated = "glob"'
            )
        return (
            f"{self.files} {files} in {self.directory}, such as {self.beside}, "
            f"{look} like traces and {are} matched by no source"
        )


def find_left_out(sources: Sequence[SourceOptions], *, hidden: Sequence[str] = ()) -> list[LeftOut]:
    """Search the directories that the sources follow, and one level below; blocks.

    What an exclude pattern names is left out on purpose, and is not found. `hidden` are directories
    that hold no traces: the state directory, a lake. What cannot be listed is passed over.
    """
    globs = SourceGlobs(sources)
    found: dict[tuple[str, str, str], LeftOut] = {}
    for directory, entry in _files(globs, frozenset(map(os.path.realpath, hidden))):
        left_out = _judge(globs, sources, directory, entry.name)
        if left_out is None:
            continue
        key = left_out.kind, left_out.directory, left_out.source and left_out.beside
        known = found.setdefault(key, left_out)
        known.files += 1
        try:
            known.bytes += entry.stat(follow_symlinks=False).st_size
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


def _files(globs: SourceGlobs, hidden: frozenset[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the regular files of the directories that the globs follow, each once."""
    pending = [Directory(root, 0, 0, globs.claims_at(root), linked=False) for root in globs.roots]
    seen: set[str] = set()
    left = _MOST_ENTRIES
    while pending and left > 0:
        directory = pending.pop()
        real = os.path.realpath(directory.path)
        if real in hidden or real in seen:
            continue
        try:
            with os.scandir(directory.path) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError:
            continue
        seen.add(real)
        left -= len(entries)
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield directory.path, entry
            elif entry.is_dir(follow_symlinks=False) and directory.claims:
                path = os.path.join(directory.path, entry.name)
                claims = globs.claims_below(directory, entry.name) | globs.claims_at(path)
                pending.append(Directory(path, 0, 0, claims, linked=False))
