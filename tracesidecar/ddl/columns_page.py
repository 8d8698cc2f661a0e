"""The documentation page of the columns (docs/columns.md)."""

from __future__ import annotations

from textwrap import fill

from tracesidecar.dialects import COLUMNS, PARTITIONS, Column
from tracesidecar.encode import CONTENT_FORMS, level_table

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

_LEVELS = """
## What each level of content sends

The `content` of a sink is an allow-list: a column that is not listed for a level is not sent, in
any format, nor is anything that is derived from it (the fields of a format's own, and what a
destination is given beside a record, such as the headers of a syslog message, labels, keys and the
paths in a store's manifests).

* `full` has every column. It is the default of stores and databases.
* `actions` has what an agent did, for detections: tool, command line, file, URL, outcome, exit
  code, class of the error, model, tokens, cost, ids, times, user. It has no prompt, answer, result
  or reasoning. A command line, a file's name or a URL is sent whole, with whatever it quotes.
* `metadata` has that an agent did something: no path, no command, no person, branch or repository.
  It is the default of all other sinks.

`raw` lines are always whole. The forms in which a column is sent:

{forms}

What is accepted: `labels` and the name of the host are the operator's own words, and are sent as
they are. An agent that writes single words as the names of its tools and models is believed, and
so is one that writes what it wants to say as numbers. Ids that say something (also of a
conversation that is named after its file) still join at `metadata`, as hashes, but not with those
of another sink. `line_sha256` (and the `event_id` of a line without an id) is made of the whole
redacted line, as every store compares it: whoever can guess such a line exactly can confirm the
guess. The hash of a path, a user or an id is another one on each installation, and after the
journal was lost.

"""


def page() -> str:
    """Return the page as Markdown."""
    columns = "".join(_row(column) for column in (*PARTITIONS, *COLUMNS))
    forms = "\n".join(
        fill(f"* {name}: {meaning}.", 100, subsequent_indent="  ", break_on_hyphens=False)
        for name, meaning in CONTENT_FORMS.items()
    )
    return _HEAD + columns + _LEVELS.format(forms=forms) + level_table()


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
