"""The documentation page of the columns (docs/columns.md)."""

from __future__ import annotations

from tracesidecar.dialects import COLUMNS, PARTITIONS, Column

_HEAD = """# The columns of an event

This page is generated from the schema (`tracesidecar/dialects/event.py`) by
`python -m tracesidecar.ddl.columns_page`.

NULL means that the source does not say; 0 is a measured zero. Nested values are JSON strings.
Columns are only ever added, and never change their type. `dt` and `dialect` are partitions: in a
lake they are in the path, everywhere else in the row. Times are RFC 3339 text in UTC with
microseconds in JSON, and timestamps in Parquet and in tables.

Columns in **bold** always have a value.

| column | type | meaning | OpenTelemetry | ECS | OCSF |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the page as Markdown."""
    return _HEAD + "".join(_row(column) for column in (*PARTITIONS, *COLUMNS))


def _row(column: Column) -> str:
    name = f"**`{column.name}`**" if column.required else f"`{column.name}`"
    kind = "time" if column.is_time else column.type
    doc = (
        column.doc
        + (f" ({column.unit})" if column.unit else "")
        + (f": {', '.join(f'`{value}`' for value in column.values)}" if column.values else "")
    )
    others = (f"`{other}`" if other else "" for other in (column.otel, column.ecs, column.ocsf))
    return f"| {' | '.join((name, kind, doc, *others))} |\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
