"""Where a lake is, which formats it has, and what the tables over it are called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from tracesidecar.dialects import DIALECT_NAMES
from tracesidecar.encode import lake_root

LakeFormat = Literal["json", "parquet"]

LAKE_ROOTS: dict[LakeFormat, str] = {"json": lake_root("event"), "parquet": lake_root("parquet")}
"""The two folders that have events, below the prefix of a sink."""


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake, and the names of what is created over it.

    `location` is `s3://bucket/prefix`, `gs://bucket/prefix` or a folder. `formats` are those to
    create tables for: a sink of format `event` writes JSON, and `compact` writes Parquet beside
    it. `database` holds the tables (in BigQuery a dataset). `dialects` are all values of the
    partition `dialect`: Athena does not see a value that its projection does not list.
    `first_day` is the first day that Athena looks for.

    Raise ValueError if a name cannot be part of a statement of every engine.
    """

    location: str
    formats: tuple[LakeFormat, ...] = ("json", "parquet")
    database: str = "agent_traces"
    project: str = "PROJECT"
    dialects: tuple[str, ...] = DIALECT_NAMES
    first_day: date = date(2025, 1, 1)

    def __post_init__(self) -> None:
        """Check the names: statements contain them as they are."""
        for what, name in (
            ("database", self.database),
            ("project", self.project.replace("-", "_")),
        ):
            if not (name.isascii() and name.replace("_", "a").isalnum()):
                raise ValueError(f"{what} must be letters, digits and underscores")
        if not self.location.isprintable() or any(mark in self.location for mark in "'\"`\\"):
            raise ValueError(
                "the location has a quote, a backslash or a control character, "
                "which the location of a table cannot have"
            )

    def prefix(self, lake_format: LakeFormat) -> str:
        """Return the location of one format, without a slash at its end."""
        return f"{self.location.rstrip('/')}/{LAKE_ROOTS[lake_format]}"
