"""The fixtures of every dialect, and their events.

`python -m tests.dialects.golden` rewrites them; review the diff.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

import msgspec

from tracesidecar.dialects.interpreter import DialectEvent, Identify, Interpreter
from tracesidecar.dialects.state import FileIdentity
from tracesidecar.model import Checkpoint, CleanChunk, LinePosition, Segment

FIXTURES = Path(__file__).parent / "fixtures"


def fixtures() -> list[Path]:
    """Return every fixture: `<dialect>/…/<case>.jsonl`."""
    return sorted(path for path in FIXTURES.rglob("*.jsonl") if path.is_file())


def clean_chunk(data: bytes, *, start: int = 0) -> CleanChunk:
    """Return the lines of a whole file, as the pipeline would pass them."""
    lines, positions, offset = [], [], start
    rows = data.split(b"\n")
    count = len(rows) - (not rows[-1])
    for number, row in enumerate(rows[:count]):
        if row.strip():
            lines.append(row + b"\n")
            positions.append(LinePosition(number, offset, len(row)))
        offset += len(row) + 1
    return CleanChunk(
        Segment(1, "agent", "trace.jsonl", 1, 1, 1),
        start,
        offset,
        b"".join(lines),
        Checkpoint(offset, b""),
        len(lines),
        positions=tuple(positions),
        source_lines=count,
    )


def events_of(path: Path) -> list[DialectEvent]:
    """Return the events of a fixture, read under its path below the folder of its dialect."""
    return interpreter()(
        label_of(path), clean_chunk(path.read_bytes()), None, identify_below_home(path)
    )[0]


def interpreter() -> Interpreter:
    """Return the interpreter of the source that the fixtures belong to."""
    return Interpreter(source="agent", host="host-1", processed_by="1.0.0+00000000")


def label_of(fixture: Path) -> str:
    """Return the path of a fixture below the home directory of its agent."""
    dialect = fixture.relative_to(FIXTURES).parts[0]
    return "/home/agent/" + fixture.relative_to(FIXTURES / dialect).as_posix()


def identify_below_home(fixture: Path) -> Identify:
    """Return what identifies a fixture whose source has the home directory as its root."""
    folder = posixpath.dirname(label_of(fixture).removeprefix("/home/agent/"))
    return lambda first: FileIdentity(folder, first, 0)


def golden(events: list[DialectEvent]) -> bytes:
    """Return one line for each event, its dialect first, without `raw`, which is the line."""
    rows = []
    for dialect, event in events:
        members = {"dialect": dialect, **msgspec.to_builtins(event)}
        members.pop("raw", None)
        rows.append(msgspec.json.encode(members))
    return b"\n".join(rows) + b"\n"


if __name__ == "__main__":
    for fixture in fixtures():
        fixture.with_suffix(".golden").write_bytes(golden(events_of(fixture)))
