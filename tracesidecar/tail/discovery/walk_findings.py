"""What a walk of the directories finds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.file_table import Directory, File


@dataclass(slots=True)
class WalkFindings:
    """The findings of a walk.

    `unknown` are names whose inode is not known, `renamed` known inodes under another name,
    `nameless` files whose name is gone or should be checked, `not_regular` matching names of
    sockets, devices and the like. `skipped` are symbolic links that are not followed, and why.
    `own` are directories of ours under other paths than ours, and `gone` announced names that are
    no longer there.
    """

    unknown: list[FileLocation] = field(default_factory=list)
    renamed: list[tuple[File, FileLocation]] = field(default_factory=list)
    nameless: list[File] = field(default_factory=list)
    not_regular: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    gone: defaultdict[Directory, set[str]] = field(default_factory=lambda: defaultdict(set))
