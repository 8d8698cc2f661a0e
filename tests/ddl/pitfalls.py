"""What makes Athena and BigQuery fail on a lake, found in the bytes that were written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tracesidecar.dialects import COLUMNS
from tracesidecar.encode.jsonl import compression_of, decode_lines

LONGEST_LINE_BYTES = 1 << 20
LARGEST_INTEGER = 1 << 53
SNAKE = re.compile(r"[a-z][a-z0-9_]*")
PARTITION = re.compile(
    r"v1/dt=\d{4}-\d{2}-\d{2}/dialect=[a-z][a-z0-9_]*/[A-Za-z0-9][^/]*\.jsonl(\.gz|\.zst)?"
)
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "bigint": int,
    "double": (int, float),
    "boolean": bool,
}


class TwiceError(ValueError):
    """An object has a key twice, in any case of letters."""


def pitfalls(root: Path) -> Iterator[str]:
    """Return each one found in the JSON objects below `root`."""
    objects = [
        path
        for path in root.rglob("*")
        if path.is_file() and not path.relative_to(root).parts[0].startswith(("_", "."))
    ]
    if len({path.name.partition(".")[2] for path in objects}) > 1:
        yield "objects of several formats or compressions under one prefix"
    for path in objects:
        name = path.relative_to(root).as_posix()
        if PARTITION.fullmatch(name) is None:
            yield f"{name}: not a partition of the table, or hidden"
        body = decode_lines(path.read_bytes(), compression_of(name))
        if body and not body.endswith(b"\n"):
            yield f"{name}: the last line has no newline"
        for number, line in enumerate(body.split(b"\n")[:-1], start=1):
            yield from (f"{name}:{number}: {problem}" for problem in of_line(line))


def of_line(line: bytes) -> Iterator[str]:
    """Yield what is wrong with one line."""
    if len(line) > LONGEST_LINE_BYTES:
        yield "longer than 1 MiB"
    try:
        row = json.loads(line, object_pairs_hook=_reject_repeated_keys, parse_constant=_reject)
    except (TwiceError, ValueError):
        yield "not one JSON object with each key once"
        return
    if not isinstance(row, dict):
        yield "not an object"
        return
    columns = {column.name: column for column in COLUMNS}
    for key, value in row.items():
        if SNAKE.fullmatch(key) is None:
            yield f"{key} is not lower snake case"
        if key not in columns:
            yield f"{key} is no column, or one that is a partition"
        elif value is not None and (
            not isinstance(value, TYPES[columns[key].type])
            or isinstance(value, bool) != (columns[key].type == "boolean")
        ):
            yield f"{key} has another type"
        elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            yield f"{key} is larger than 2^53"
        elif (
            columns[key].is_time
            and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(value)) is None
        ):
            yield f"{key} is no RFC 3339 in UTC with microseconds"


def _reject_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key.lower() for key, _ in pairs}) < len(pairs):
        raise TwiceError
    return dict(pairs)


def _reject(constant: str) -> object:
    raise ValueError(constant)
