"""The fixtures of every dialect, and their events.

`python -m tests.dialects.golden` rewrites them; review the diff.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from tracesidecar.dialects.interpreter import DialectEvent, Interpreter, Line, LineBlock

FIXTURES = Path(__file__).parent / "fixtures"


def fixtures() -> list[Path]:
    """Return every fixture: `<dialect>/…/<case>.jsonl`."""
    return sorted(path for path in FIXTURES.rglob("*.jsonl") if path.is_file())


def line_block(data: bytes, label: str, *, start: int = 0) -> LineBlock:
    """Return the lines of a whole file, as the pipeline would pass them."""
    lines, offset = [], start
    rows = data.split(b"\n")
    count = len(rows) - (not rows[-1])
    for number, row in enumerate(rows[:count]):
        if row.strip():
            lines.append(Line(row, number, offset, len(row)))
        offset += len(row) + 1
    return LineBlock(label, lines, count)


def events_of(path: Path) -> list[DialectEvent]:
    """Return the events of a fixture, read under its path below the folder of its dialect."""
    dialect = path.relative_to(FIXTURES).parts[0]
    label = "/home/agent/" + path.relative_to(FIXTURES / dialect).as_posix()
    return Interpreter(host="host-1")(line_block(path.read_bytes(), label), None)[0]


def golden(events: list[DialectEvent]) -> bytes:
    """Return one line for each event, its dialect first; `raw` is left out, because it is the line."""
    rows = []
    for dialect, event in events:
        members = {"dialect": dialect, **msgspec.to_builtins(event)}
        members.pop("raw", None)
        rows.append(msgspec.json.encode(members))
    return b"\n".join(rows) + b"\n"


if __name__ == "__main__":
    for fixture in fixtures():
        fixture.with_suffix(".golden").write_bytes(golden(events_of(fixture)))
