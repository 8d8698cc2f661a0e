"""How full each column is, by dialect, over the fixtures.

`python -m tests.dialects.fill` writes the table into docs/dialects.md.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from tests.dialects.golden import events_of, fixtures
from tracesidecar.dialects.columns import COLUMNS
from tracesidecar.dialects.event import Event

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dialects.md"
BEGIN, END = "<!-- fill -->\n", "<!-- /fill -->\n"


def table() -> str:
    """Return the table: columns as rows, dialects as columns, percent of events.

    A column that all events have is left out.
    """
    events: dict[str, list[Event]] = defaultdict(list)
    for fixture in fixtures():
        for dialect, event in events_of(fixture):
            events[dialect].append(event)
    names = sorted(events)
    rows = [
        f"| column | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
        f"| *events* | {' | '.join(str(len(events[name])) for name in names)} |",
    ]
    for column in COLUMNS:
        shares = [
            round(
                100
                * sum(getattr(event, column.name) is not None for event in events[name])
                / len(events[name])
            )
            for name in names
        ]
        if not all(share == 100 for share in shares) and column.name not in {
            "ingest_time",
            "labels",
        }:
            rows.append(
                f"| `{column.name}` | "
                f"{' | '.join(str(share) if share else '' for share in shares)} |"
            )
    return "\n".join(rows) + "\n"


def page_with_table(page: str) -> str:
    """Return the page with the current table."""
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text("utf-8")), "utf-8")
