"""A batch has what its sink's `content` sends: also beside the records, and when it is replayed."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace

from tests.batch.test_event_time import FIRST, LINE, SEGMENT
from tracesidecar.batch.builder import BatchBuilder
from tracesidecar.batch.encoding import BatchSpec
from tracesidecar.batch.manifest import decode_manifest
from tracesidecar.dialects import DialectEvent, Event
from tracesidecar.model import Checkpoint, CleanChunk

PATH = "/home/alice/acme/one.jsonl"
SPEC = BatchSpec(
    "records",
    "cef",
    "metadata",
    key=b"0123456789abcdef",
    sink="siem",
    host="host",
    fingerprint="f",
    rules="r",
    labels={},
)
STORE = replace(SPEC, takes="objects", format="event")
CLEAN = CleanChunk(SEGMENT, 0, len(LINE), LINE, Checkpoint(len(LINE), b"t"), 1)
EVENT = Event(
    event_kind="tool_result",
    event_id="a",
    conversation_id="/home/alice/acme",
    trace_id="alice@example.com",
    native_id="what alice said",
    source_file=PATH,
    source_offset=0,
    error_message="no such file: /home/alice/acme/plan",
    tool_result="the plan",
)


def fill(spec: BatchSpec) -> BatchBuilder:
    builder = BatchBuilder(spec, clock=lambda: FIRST)
    builder.add(CLEAN, PATH, [DialectEvent("generic", EVENT)])
    return builder


def test_what_a_destination_gets_beside_a_record_is_narrowed_too() -> None:
    batch = fill(SPEC).close().batch
    assert batch is not None
    [record] = batch.records
    beside = "\n".join(str(each) for each in record)
    assert not re.search("alice|acme|plan", beside)
    assert record.source.encode() in record.body
    assert record.conversation.encode() in record.body


def test_full_and_actions_name_the_file_and_metadata_its_hash() -> None:
    for content in ("full", "actions"):
        batch = fill(replace(SPEC, content=content)).close().batch
        assert batch is not None
        assert batch.records[0].source == PATH
    manifest = fill(STORE).close().plan.manifest
    [described] = decode_manifest(manifest).ranges
    assert re.fullmatch("[0-9a-f]{32}", described.path)
    assert b"alice" not in manifest


def test_a_replay_makes_the_same_bytes() -> None:
    prepared = fill(STORE).close()
    again = fill(STORE).close(prepared.plan)
    assert prepared.batch is not None
    assert again.batch is not None
    assert [each.sha256 for each in again.batch.objects] == [
        each.sha256 for each in prepared.batch.objects
    ]
    assert again.plan.manifest == prepared.plan.manifest


def test_what_is_redriven_is_as_narrow() -> None:
    builder = BatchBuilder(STORE, clock=lambda: FIRST)
    builder.add_redriven(7, CLEAN, PATH, [DialectEvent("generic", EVENT)])
    prepared = builder.close()
    assert prepared.batch is not None
    [body] = (gzip.decompress(each.content) for each in prepared.batch.objects)
    assert b'"event_id":"a"' in body
    assert not re.search(b"alice|acme|plan", body + prepared.plan.manifest)


def test_the_key_of_the_installation_is_not_shown() -> None:
    assert "0123456789" not in repr(SPEC)
