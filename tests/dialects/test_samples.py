"""Every real line becomes events or is rejected with a reason, and no mapper fails on one."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.dialects.golden import clean_chunk
from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.interpreter import Interpreter
from tracesidecar.dialects.registry import load_dialects
from tracesidecar.model import Checkpoint, Chunk, CleanChunk, Rejection, Segment
from tracesidecar.sanitize import line_positions
from tracesidecar.sanitize.validate import validate

SHARED = Path(__file__).resolve().parents[3] / "shared"
SAMPLES = sorted((SHARED / "samples").glob("*.jsonl"))
CORPUS = SHARED / "corpora" / "real-agent-lines.jsonl.gz"

needs_shared = pytest.mark.skipif(
    not SHARED.exists() and os.environ.get("CI") != "true",
    reason="the samples are not beside this checkout",
)


def interpret(data: bytes, label: str) -> tuple[Counter[str], int, int]:
    """What was observed, how many lines passed validation, and how many of them have events."""
    observed: Counter[str] = Counter()
    valid = validate(data, repair=True)
    interpreter = Interpreter(observe=lambda _dialect, line_type: observed.update([line_type]))
    events, _ = interpreter(label, clean_chunk(valid.data), None)
    return observed, valid.lines, len({each.event.source_offset for each in events})


@needs_shared
def test_every_line_of_every_sample_becomes_events_or_is_rejected() -> None:
    assert SAMPLES
    for sample in SAMPLES:
        observed, lines, with_events = interpret(sample.read_bytes(), f"/home/agent/{sample.name}")
        assert with_events == lines, sample.name
        assert not observed["mapper_error"], sample.name


def failures(dialect: Dialect[msgspec.Struct], data: bytes) -> int:
    """Return for how many lines the mapper of the dialect fails."""
    observed: Counter[str] = Counter()
    interpreter = Interpreter(
        dialect, observe=lambda _dialect, line_type: observed.update([line_type])
    )
    interpreter("/home/agent/x.jsonl", clean_chunk(data), None)
    return observed["mapper_error"]


@needs_shared
def test_no_dialect_fails_on_the_lines_of_another() -> None:
    """A file in the wrong dialect loses columns only."""
    lines = b"".join(sample.read_bytes() for sample in SAMPLES) + gzip.decompress(
        CORPUS.read_bytes()
    )
    data = validate(lines, repair=True).data
    for dialect in load_dialects():
        assert not failures(dialect, data), dialect.name


def test_positions_of_lines_are_known_whatever_was_rejected_or_skipped() -> None:
    data = b'\xef\xbb\xbfbad\n{"a":1}\r\n\n  \n{"b":NaN}\n{"c":3}'
    valid = validate(data, is_first=True, is_torn=True)
    rejected = tuple(
        Rejection(100 + start, 100 + end, reason.value) for start, end, reason in valid.rejected
    )
    clean = CleanChunk(
        Segment(1, "s", "p", 1, 1, 1),
        100,
        100 + len(data),
        valid.data,
        Checkpoint(100 + len(data), b""),
        valid.lines,
        rejected,
    )
    chunk = Chunk(
        clean.segment, clean.start, clean.end, data, Checkpoint(clean.end, b""), torn=True
    )
    assert [
        (place.number, place.offset - 100, place.length)
        for place in line_positions(clean, chunk.data)
    ] == [(1, 7, 8), (5, len(data) - 7, 7)]
