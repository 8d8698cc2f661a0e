"""The JSON Schema of one event."""

from __future__ import annotations

from tracesidecar.dialects import COLUMNS, PARTITIONS, Column, ColumnType

_TYPES: dict[ColumnType, str] = {
    "string": "string",
    "bigint": "integer",
    "double": "number",
    "boolean": "boolean",
}


def event_schema(*, in_lake: bool = False) -> dict[str, object]:
    """Return the schema of a row; `in_lake` leaves out the columns that are partitions.

    A column without a value is absent, and later versions may have more columns.
    """
    columns = COLUMNS if in_lake else (*PARTITIONS, *COLUMNS)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tracesidecar event",
        "type": "object",
        "properties": {column.name: _property(column) for column in columns},
        "required": [column.name for column in columns if column.required],
    }


def _property(column: Column) -> dict[str, object]:
    described: dict[str, object] = {"type": _TYPES[column.type], "description": column.doc}
    if column.unit:
        described["x-unit"] = column.unit
    if column.is_time:
        described["format"] = "date-time"
    if column.values:
        described["enum"] = list(column.values)
    return described
