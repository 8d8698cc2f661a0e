"""Batches for the contract tests, made by hand: a sink is tested without the pipeline."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from tracesidecar.dialects import Event
from tracesidecar.encode import otlp
from tracesidecar.encode.canonical import encode as encode_event
from tracesidecar.encode.jsonl import EXTENSIONS, encode_lines
from tracesidecar.model import Batch, Compression, Payload, Record
from tracesidecar.sinks.registry import sink_type as declared_type

PLAN_TIME = 1_790_000_000

ODD_VALUES: tuple[object, ...] = (
    {"text": "naïve \u2028 line \u2029 separators \u0085 and \x7f"},
    {"nul": "a\x00b", "controls": "".join(map(chr, range(32)))},
    {
        "astral": "\U0001f469\U0001f3fd\u200d\U0001f4bb \U0001d518",
        "rtl": "\u202eabc",
        "bom": "\ufeffx",
    },
    {"long": "x" * 65536},
    {"backslashes": '\\\\" \\u0000 \\n'},
    {"": None, " ": [1e300, -0.0, 12345678901234567890123, True]},
)

ODD_LINES: tuple[bytes, ...] = (
    *(json.dumps(value, separators=(",", ":")).encode() for value in ODD_VALUES),
    *(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        for value in ODD_VALUES
    ),
    b"[" * 200 + b"]" * 200,
    b'"a lone string"',
    b"0",
    b'{"a":1,"a":2}',
    b'{"spaced" :  "\\ud83d\\ude00"}',
)


def lines_of(count: int, size_bytes: int = 80, mark: str = "line") -> list[bytes]:
    """Make distinct JSON lines of about the same size; every seventh repeats its neighbour, as in
    real traces.
    """
    lines: list[bytes] = []
    for number in range(count):
        filler = hashlib.sha256(f"{mark}{number}".encode()).hexdigest() * (size_bytes // 64 + 1)
        line = json.dumps(
            {"n": number, "mark": mark, "text": filler[:size_bytes]}, separators=(",", ":")
        ).encode()
        lines.append(lines[-1] if number % 7 == 6 else line)
    return lines


def payload_of(name: str, lines: Sequence[bytes], compression: Compression) -> Payload:
    """Encode lines as one object."""
    content = encode_lines(b"".join(line + b"\n" for line in lines), compression)
    return Payload(
        name=name,
        content=content,
        sha256=hashlib.sha256(content).digest(),
        records=len(lines),
        compression=compression,
    )


def batch_of(
    lines: Sequence[bytes],
    *,
    batch_id: str = "b00000001",
    compression: Compression = "gzip",
    with_manifest: bool = False,
) -> Batch:
    """Make a batch of one object, named as the pipeline does."""
    name = f"raw/v1/dt=2026-09-21/host-20260921T141320Z-{batch_id}{EXTENSIONS[compression]}"
    payload = payload_of(name, lines, compression)
    return Batch(
        id=batch_id,
        time=PLAN_TIME,
        objects=(payload,),
        manifest=manifest_of(batch_id, payload) if with_manifest else None,
        lines=len(lines),
        size_bytes=sum(len(line) + 1 for line in lines),
        fingerprint="test",
    )


def records_of(lines: Sequence[bytes], batch_id: str) -> tuple[Record, ...]:
    """Make a record of each line, with an id that is the same in a repeat of the batch."""
    ids = [
        hashlib.sha256(f"{batch_id} {index}".encode()).hexdigest()[:32]
        for index in range(len(lines))
    ]
    time = "2026-09-21T14:13:20.000000Z"
    return tuple(
        Record(
            line,
            id_,
            "generic",
            f"conversation-{index % 5}",
            "/traces/a.jsonl",
            time,
            "state",
            None,
            None,
        )
        for index, (line, id_) in enumerate(zip(lines, ids, strict=True))
    )


def batch_for(
    sink_type: str,
    lines: Sequence[bytes],
    *,
    batch_id: str = "b00000001",
    compression: Compression = "gzip",
) -> Batch:
    """Make a batch in the delivery unit of this sink type: single records, or one encoded body."""
    batch = batch_of(lines, batch_id=batch_id, compression=compression)
    if declared_type(sink_type).delivery_unit == "records":
        records = records_of(lines, batch_id)
        if sink_type == "otlp":
            records = tuple(map(as_otlp, records))
        if sink_type == "sql":
            records = tuple(
                as_event(record, batch_id, place) for place, record in enumerate(records)
            )
        return replace(batch, objects=(), records=records)
    return batch


def as_event(record: Record, batch_id: str, place: int) -> Record:
    """Return an event with this record as its raw line, and the batch as its file."""
    event = Event(
        event_id=record.id,
        event_time=record.time,
        event_kind="state",
        conversation_id=record.conversation,
        source_file=batch_id,
        source_offset=place,
        raw=record.body.decode(),
    )
    return record._replace(body=encode_event(event, record.dialect))


def as_otlp(record: Record) -> Record:
    """Return a record of format `otlp` with this record as its text."""
    event = Event(
        event_id=record.id, event_time=record.time, event_kind="state", text=record.body.decode()
    )
    return record._replace(body=otlp.encode(event, record.dialect))


def manifest_of(batch_id: str, payload: Payload) -> Payload:
    """Make a manifest for one object."""
    content = json.dumps({"objects": [payload.name], "sha256": payload.sha256.hex()}).encode()
    return Payload(
        name=f"_manifest/v1/dt=2026-09-21/{batch_id}.json",
        content=content,
        sha256=hashlib.sha256(content).digest(),
        records=0,
        media_type="application/json",
    )
