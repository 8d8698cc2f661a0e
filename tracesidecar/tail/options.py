"""What one `[[source]]` block of the configuration says."""

from __future__ import annotations

import msgspec

from tracesidecar.units import Seconds, Size


class SourceOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which files are followed, and how.

    `documents`: files are JSON documents that end without a newline; what is complete is taken once
    it has stood still. `dialect` is `auto`, the name of one, or a table that maps fields to
    columns. `include` and `exclude` are globs in which `**` spans directories; a file that two
    sources match belongs to the first.
    """

    name: str
    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    dialect: str | dict[str, str | dict[str, str]] = "auto"
    labels: dict[str, str] = {}
    max_line: Size = msgspec.field(default_factory=lambda: Size.parse("64MiB"))
    repair: bool = False
    documents: bool = False
    copy_grace: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("5s"))
    hold_directory: str | None = None
