"""The folders of a lake: one for each format, then a day and, for events, a dialect.

The layout is a promise: `ddl` writes it into the statements for every engine, and `lake` reads it
back. A new layout gets a new version in its path.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

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


class ObjectName(NamedTuple):
    """The parts of an object's name; `dialect` is empty for lines as they stand."""

    root: str
    day: str
    dialect: str
    file: str


def parse_object_name(name: str) -> ObjectName | None:
    """Return the parts of an object's name, None if this program gives no such name.

    A lake may belong to somebody else, who writes names into its manifests: one that leads out of
    the lake, or acts on a terminal, is none.
    """
    found = _OBJECT.fullmatch(name)
    return None if found is None else ObjectName(found[1], found[2], found[3] or "", found[4])


def partition_of(name: str) -> tuple[str, str] | None:
    """Return day and dialect of an object of events by its name, None for any other object."""
    found = parse_object_name(name)
    return (found.day, found.dialect) if found is not None and found.dialect else None


_WORD = "[A-Za-z0-9._-]"
_OBJECT = re.compile(
    f"({'|'.join(lake_root(each) for each in FORMATS)})"
    f"/dt=([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})(?:/dialect=([a-z0-9_]{{1,64}}))?"
    rf"/({_WORD}{{1,200}}\.(?:jsonl(?:\.gz|\.zst)?|parquet))"
)
