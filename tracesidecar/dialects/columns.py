"""The columns of the canonical event as data, for generating tables, schemas and pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import msgspec
from msgspec import inspect

from tracesidecar.dialects.event import Event

ColumnType = Literal["string", "bigint", "double", "boolean"]

_TYPES: dict[type[inspect.Type], ColumnType] = {
    inspect.StrType: "string",
    inspect.LiteralType: "string",
    inspect.IntType: "bigint",
    inspect.FloatType: "double",
    inspect.BoolType: "boolean",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    `otel`, `ecs` and `ocsf` are its names in those conventions, empty if it has none. `values`
    are all values that it may have, empty if any value is allowed.
    """

    name: str
    type: ColumnType
    doc: str
    unit: str = ""
    required: bool = False
    otel: str = ""
    ecs: str = ""
    ocsf: str = ""
    values: tuple[str, ...] = ()

    @property
    def is_time(self) -> bool:
        """Whether it is a point in time.

        A time is RFC 3339 text in JSON, and a timestamp in UTC if the engine has that type.
        """
        return self.type == "string" and self.name.endswith("_time")


def _column(field: inspect.Field) -> Column:
    described = cast("inspect.Metadata", field.type)
    about = cast("Mapping[str, str]", described.extra or {})
    kind = _without_none(described.type)
    return Column(
        field.encode_name,
        _TYPES[type(kind)],
        str((described.extra_json_schema or {})["description"]),
        about["unit"],
        bool(about["required"]),
        about["otel"],
        about["ecs"],
        about["ocsf"],
        tuple(str(value) for value in kind.values) if isinstance(kind, inspect.LiteralType) else (),
    )


def _without_none(kind: inspect.Type) -> inspect.Type:
    if not isinstance(kind, inspect.UnionType):
        return kind
    [only] = (member for member in kind.types if not isinstance(member, inspect.NoneType))
    return only


COLUMNS: tuple[Column, ...] = tuple(
    _column(field) for field in cast("inspect.StructType", msgspec.inspect.type_info(Event)).fields
)
"""All columns, in the order of the struct."""

PARTITIONS: tuple[Column, ...] = (
    Column(
        "dt",
        "string",
        "Day of event_time in UTC, as YYYY-MM-DD; of arrival if it is beyond_limit",
        required=True,
    ),
    Column(
        "dialect",
        "string",
        "Dialect of the trace file",
        required=True,
        ecs="event.dataset",
        ocsf="metadata.log_name",
    ),
)
"""The columns that are in the path in a lake, and in the row everywhere else."""
