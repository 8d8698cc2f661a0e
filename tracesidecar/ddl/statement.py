"""One statement for an engine, and how columns are written in statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tracesidecar.dialects import COLUMNS, PARTITIONS, Column, ColumnType

Use = Literal["define", "load", "maintain"]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement, without a semicolon at its end.

    `use` says when to run it: `define` creates tables and views and may be run again, `load`
    takes in one day, and `maintain` is for now and then.
    """

    name: str
    purpose: str
    text: str
    use: Use = "define"

    @property
    def is_view(self) -> bool:
        """Whether it creates a view."""
        return " VIEW " in self.text.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Types:
    """How an engine writes the types of columns; `time` is that of a point in time."""

    names: Mapping[ColumnType, str]
    time: str

    def type_of(self, column: Column) -> str:
        """Return the type of one column."""
        return self.time if column.is_time else self.names[column.type]

    def column_list(self, columns: Iterable[Column]) -> str:
        """Return the columns with their types, one a line."""
        return ",\n".join(f"  {column.name} {self.type_of(column)}" for column in columns)


def wrap_list(expressions: Iterable[str]) -> str:
    """Return expressions or names separated by commas, six a line."""
    found = tuple(expressions)
    return ",\n".join("  " + ", ".join(found[at : at + 6]) for at in range(0, len(found), 6))


def column_names(columns: Iterable[Column], *, prefix: str = "") -> str:
    """Return the names of columns separated by commas, six a line."""
    return wrap_list(f"{prefix}{column.name}" for column in columns)


ROW: tuple[Column, ...] = (*COLUMNS, *PARTITIONS)
"""A row with its partitions."""
