"""The folders of a lake: one for each format, then a day and, for events, a dialect.

The layout is a promise: `ddl` writes it into the statements for every engine, and `lake` reads it
back. A new layout gets a new version in its path.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

RecordFormat = Literal["raw", "event", "ecs", "ocsf", "cef", "leef", "otlp"]
"""The formats of single records. A destination that is no object store takes some or all."""

Format = Literal[RecordFormat, "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

MANIFESTS = "_manifest/v1/"
"""Manifests of batches, by day. Query engines skip names that begin with an underscore."""
COMPACTIONS = "_manifest/compact/v1/"
"""Records of finished compactions, by day."""


def lake_root(of: Format) -> str:
    """Return the folder that has the objects of a format, such as `v1` or `parquet/v1`.

    Each format has its own, because an engine reads all objects below the location of a table as
    one format.
    """
    return "v1" if of == "event" else f"{of}/v1"


def format_of(name: str) -> Format:
    """Return the format of an object by its name, which this program gave it."""
    root = name.partition("/")[0]
    return "event" if root == "v1" else next((each for each in FORMATS if each == root), "raw")


def partition_folder(root: str, day: str, dialect: str = "") -> str:
    """Return the folder of a day (YYYY-MM-DD) and, for events, of a dialect below a root.

    `day` and `dialect` are values of the partitions `dt` and `dialect`, or patterns of them.
    """
    return f"{root}/dt={day}/dialect={dialect}" if dialect else f"{root}/dt={day}"


def partition_of(name: str) -> tuple[str, str] | None:
    """Return day and dialect of an object of events by its name, None for any other object."""
    found = _PARTITION.search(name)
    return (found[1], found[2]) if found else None


_PARTITION = re.compile(partition_folder("", "([0-9-]+)", "([^/]+)") + "/[^/]+$")
