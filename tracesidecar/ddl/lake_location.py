"""Where the objects of a lake lie, and what the tables over them are called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from tracesidecar.dialects import DIALECT_NAMES
from tracesidecar.encode.lake_layout import lake_root

LakeFormat = Literal["json", "parquet"]

LAKE_ROOTS: dict[LakeFormat, str] = {"json": lake_root("event"), "parquet": lake_root("parquet")}
"""The two folders that have events, below the prefix of a sink."""


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake. `location` is `s3://bucket/prefix`, `gs://bucket/prefix` or a folder; `database` is
    what holds the tables (BigQuery: a dataset).

    `formats` are the formats that tables are made for: a sink of lake_format `event` has JSON, and Parquet
    once `compact` has run. `first_day` is the first day that Athena looks for.
    """

    location: str
    formats: tuple[LakeFormat, ...] = ("json", "parquet")
    database: str = "agent_traces"
    project: str = "PROJECT"
    dialects: tuple[str, ...] = DIALECT_NAMES
    first_day: date = date(2025, 1, 1)

    def __post_init__(self) -> None:
        """Raise ValueError where a name cannot stand in a statement of every engine."""
        for what, name in (
            ("database", self.database),
            ("project", self.project.replace("-", "_")),
        ):
            if not (name.isascii() and name.replace("_", "a").isalnum()):
                raise ValueError(f"{what} must be letters, digits and underscores")
        if not self.location.isprintable() or any(mark in self.location for mark in "'\"`\\"):
            raise ValueError(
                "the location has a quote, a backslash or a control character, which no table's location can have"
            )

    def prefix(self, lake_format: LakeFormat) -> str:
        """Name the place of one format, without a slash at the end."""
        return f"{self.location.rstrip('/')}/{LAKE_ROOTS[lake_format]}"
