"""The options of one `[[source]]` block of the configuration."""

from __future__ import annotations

from typing import Literal

import msgspec

from tracesidecar.units import Seconds, Size

Symlinks = Literal["never", "same_owner", "follow"]
"""Which symbolic links below a root are followed."""

MAX_LINE = Size.parse("64MiB")
"""The longest line, unless a source says otherwise; also for commands that have no source."""


class SourceLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The budgets of a source, so that no source can take what others need.

    `files` is how many files are followed at a time, and how many directories are walked. `held` is
    how many bytes our hard links may keep of it, and `rejected` how many may be kept because of its
    rejected lines. `partitions` is how many days and dialects of it a batch of a lake may have, and
    `ratio` how many times its size a compressed file may expand to.
    """

    files: int = 100_000
    held: Size = msgspec.field(default_factory=lambda: Size.parse("10GiB"))
    rejected: Size = msgspec.field(default_factory=lambda: Size.parse("1GiB"))
    partitions: int = 64
    ratio: int = 200

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")


class SourceOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which files are followed, and how.

    `include` and `exclude` are globs in which `**` spans directories; a file that two sources match
    belongs to the first. `dialect` is `auto`, the name of a dialect, or a table that maps fields to
    columns. With `documents`, files hold whole JSON documents in place of lines, and each is
    taken once it is complete. `copy_grace` is how long a file that may be a
    copy in progress is left alone. `hold_directory` is where hard links are made, for sources on
    another mount than the state directory. With `rotated = "family"`, the rotated files beside a
    file that matches (`x.jsonl.1`, `x.jsonl.2.gz`) are taken with it, unless they are excluded.
    `id` identifies the source's offsets and the ids of its events, by default its name: with
    it, the source can be renamed. `symlinks` says which symbolic links are followed below the part
    of an include before its first wildcard: `same_owner` are those that belong to the owner of what
    they lead to.
    `owners` are users, by name or number, whose files are read by root also where they have a
    second hard link; the owner of the directory always counts. `limits` are the budgets of the
    source: at one of them it waits, and other sources do not notice.
    """

    name: str
    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    dialect: str | dict[str, str | dict[str, str]] = "auto"
    labels: dict[str, str] = {}
    max_line: Size = msgspec.field(default_factory=lambda: MAX_LINE)
    repair: bool = False
    documents: bool = False
    copy_grace: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("5s"))
    hold_directory: str | None = None
    rotated: Literal["family", "glob"] = "family"
    protect: Literal["always", "behind", "never"] = "always"
    id: str | None = None
    symlinks: Symlinks = "never"
    owners: tuple[str, ...] = ()
    limits: SourceLimits = msgspec.field(default_factory=SourceLimits)

    @property
    def identity(self) -> str:
        """Return what identifies offsets and ids of events: `id`, by default the name."""
        return self.id or self.name
