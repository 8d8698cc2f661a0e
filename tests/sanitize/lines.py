"""Lines to sanitize, and the shared corpora if they are present."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
from collections.abc import Iterator

import pytest

from tracesidecar.model import BEGINNING, Chunk, Segment
from tracesidecar.sanitize.sanitizer import Sanitizer

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared"
SEGMENT = Segment(id=1, source="agent", path="/traces/a.jsonl", device=1, inode=2, generation=0)


def chunk_of(data: bytes, *, start: int = 0, torn: bool = False) -> Chunk:
    """Make a chunk of these bytes."""
    return Chunk(
        segment=SEGMENT, start=start, end=start + len(data), data=data, next=BEGINNING, torn=torn
    )


def redact_value(sanitizer: Sanitizer, value: object) -> object:
    """Redact a value as one line and decode what comes back."""
    line = sanitizer.redact_line(json.dumps(value).encode())
    assert isinstance(line, bytes), line
    return json.loads(line)


def load_labelled(name: str) -> list[dict[str, str]]:
    """The rows of a labelled corpus."""
    with gzip.open(corpus(name), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def corpus(name: str) -> pathlib.Path:
    """Return the path of a corpus; skip without it, and fail in CI."""
    path = SHARED / "corpora" / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing")
        pytest.skip(f"{name} is missing")
    return path


def placements(text: str) -> Iterator[tuple[str, bytes]]:
    """Place a text in a line in each way in which it may occur."""
    yield "leaf", json.dumps({"out": text}).encode()
    yield "leaf in UTF-8", json.dumps({"out": text}, ensure_ascii=False).encode()
    yield "nested twice", json.dumps({"a": json.dumps({"b": json.dumps({"c": text})})}).encode()
    yield "truncated nested", json.dumps({"a": json.dumps({"b": text, "c": [1]})[:-6]}).encode()
    yield "object key", json.dumps({text: True}).encode()
    yield (
        "behind other members",
        json.dumps(
            {"id": "a1", "n": [1, 2.5, None], "content": [{"type": "text", "text": "see: " + text}]}
        ).encode(),
    )


def texts_of(value: object) -> Iterator[str]:
    """Every string and key of a decoded value, JSON in strings opened too."""
    if isinstance(value, str):
        yield value
        if value[:1] in {"{", "["}:
            try:
                inner = json.loads(value)
            except ValueError:
                return
            yield from texts_of(inner)
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from texts_of(key)
            yield from texts_of(below)
    elif isinstance(value, list):
        for below in value:
            yield from texts_of(below)
