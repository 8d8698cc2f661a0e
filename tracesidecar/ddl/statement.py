"""One statement for an engine, what it is for, and when it is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tracesidecar.dialects import COLUMNS, PARTITIONS, Column, ColumnType

Use = Literal["define", "load", "maintain"]


@dataclass(frozen=True, slots=True)
class Statement:
    """`define` makes tables and views and may be run again; `load` takes in one day; `maintain` is
    run now and then. `text` ends without a semicolon.
    """

    name: str
    purpose: str
    text: str
    use: Use = "define"

    @property
    def is_view(self) -> bool:
        """Tell whether it makes a view."""
        return " VIEW " in self.text.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Types:
    """How an engine writes the types of columns, and a point in time."""

    names: Mapping[ColumnType, str]
    time: str

    def of(self, column: Column) -> str:
        """The type of one column."""
        return self.time if column.is_time else self.names[column.type]

    def listed(self, columns: Iterable[Column]) -> str:
        """The columns with their types, one a line."""
        return ",\n".join(f"  {column.name} {self.of(column)}" for column in columns)


def listed(expressions: Iterable[str]) -> str:
    """Expressions of a SELECT, or names, several a line."""
    found = tuple(expressions)
    return ",\n".join("  " + ", ".join(found[at : at + 6]) for at in range(0, len(found), 6))


def names(columns: Iterable[Column], *, prefix: str = "") -> str:
    """The names of the columns, several a line."""
    return listed(f"{prefix}{column.name}" for column in columns)


ROW: tuple[Column, ...] = (*COLUMNS, *PARTITIONS)
"""A row with its partitions."""
