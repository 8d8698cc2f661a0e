"""Lines as events, for tests of one dialect: invented lines, fixtures, and shared samples."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from tests.dialects.golden import clean_chunk
from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.interpreter import Interpreter

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"


def events_of(
    label: str, lines: Iterable[object], dialect: Dialect[msgspec.Struct] | None = None
) -> list[Event]:
    """Return the events of a file with that path; lines are bytes, or members to write as JSON."""
    rows = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return [
        each.event
        for each in Interpreter(dialect)(label, clean_chunk(b"\n".join(rows) + b"\n"), None)[0]
    ]


def sample(name: str) -> list[bytes]:
    """Return the lines of a shared sample that are JSON: the others never reach a mapper."""
    path = SAMPLES / name
    if not path.exists() and "CI" not in os.environ:
        pytest.skip("the shared samples are not here")
    return [line for line in path.read_bytes().splitlines() if _is_json(line)]


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return True
