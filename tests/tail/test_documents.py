"""Files of JSON documents: chunks hold whole ones, however indented; unfinished ones wait."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tail.follower import Follower
from tracesidecar.json_documents import Ending, next_document
from tracesidecar.model import BEGINNING, CHUNK_BYTES, Checkpoint, Chunk
from tracesidecar.tail.reading.document_chunker import DocumentChunker
from tracesidecar.units import Size


def indent_document(number: int, width: int = 40, **more: object) -> bytes:
    steps = [{"action": "ls", "observation": "x" * width} for _ in range(3)]
    return json.dumps({"n": number, "trajectory": steps, **more}, indent=2).encode()


@pytest.fixture
def documents(follow: Callable[..., Follower]) -> Follower:
    return follow(documents=True)


def find_segment(follower: Follower) -> int:
    (segment,) = follower.tailer.segments()
    return segment


def read(follower: Follower, segment: int, *, resting: bool = False) -> list[Chunk]:
    """Read what is there from where this reader is."""
    found: list[Chunk] = []
    at = follower.store.checkpoints.get(segment, BEGINNING)
    while (chunk := follower.tailer.read(segment, at, resting=resting)) is not None:
        assert chunk.documents
        assert (chunk.start, chunk.end) == (at.offset, chunk.next.offset)
        found.append(chunk)
        at = chunk.next
    follower.store.checkpoints[segment] = at
    return found


def content(chunks: list[Chunk]) -> list[bytes]:
    found: list[bytes] = []
    for chunk in chunks:
        place = 0
        while (document := next_document(chunk.data, place, Ending.FINAL)) is not None:
            found.append(chunk.data[document.start : document.end])
            place = document.end
    return found


def test_a_document_is_read_at_its_last_bracket_and_a_growing_file_goes_on_from_there(
    documents: Follower,
) -> None:
    path = documents.traces / "a.jsonl"
    path.write_bytes(indent_document(1))
    documents.scan()
    segment = find_segment(documents)
    assert content(read(documents, segment)) == [indent_document(1)]
    for more in (b"\n", indent_document(2)[:50], indent_document(2)[50:-1]):
        with path.open("ab") as file:
            file.write(more)
        documents.scan()
        assert content(read(documents, segment)) == []
    with path.open("ab") as file:
        file.write(b"}\r\n\r\n" + indent_document(3) + b"\n")
    documents.scan()
    assert content(read(documents, segment)) == [indent_document(2), indent_document(3)]
    assert documents.store.checkpoints[segment].offset == path.stat().st_size


def test_chunks_end_with_the_last_document_that_begins_before_the_grid_line(
    documents: Follower,
) -> None:
    whole = [indent_document(n, 20_000 if n % 7 else 500_000) for n in range(60)]
    path = documents.traces / "a.jsonl"
    path.write_bytes(b"\n".join(whole))
    documents.scan()
    segment = find_segment(documents)
    chunks = read(documents, segment)
    assert content(chunks) == whole
    assert b"".join(chunk.data for chunk in chunks) == path.read_bytes()
    assert max(len(chunk.data) for chunk in chunks) < 2 * CHUNK_BYTES + 1_600_000
    for chunk in chunks:
        pieces = documents.tailer.read_range(segment, chunk.start, chunk.end)
        assert pieces is not None
        assert b"".join(pieces) == chunk.data


@pytest.mark.parametrize("tail", [b"12", b'{"a":1,}', b"no document"])
def test_a_scalar_or_what_is_no_document_is_read_once_the_file_rests(
    documents: Follower, tail: bytes
) -> None:
    (documents.traces / "a.jsonl").write_bytes(tail)
    documents.scan()
    segment = find_segment(documents)
    assert read(documents, segment) == []
    assert content(read(documents, segment, resting=True)) == [tail]


def test_an_unfinished_document_is_not_read_at_rest_but_when_its_file_is_deleted(
    documents: Follower,
) -> None:
    path = documents.traces / "a.jsonl"
    path.write_bytes(indent_document(1) + indent_document(2)[:-20])
    documents.scan()
    segment = find_segment(documents)
    assert content(read(documents, segment, resting=True)) == [indent_document(1)]
    at = documents.store.checkpoints[segment]
    assert documents.tailer.is_unfinished(segment, at.offset, path.stat().st_size)
    path.unlink()
    documents.scan()
    last = documents.tailer.read(segment, at, final=True)
    assert last is not None
    assert (last.data, last.torn) == (indent_document(2)[:-20], True)


@pytest.mark.parametrize("is_indented", [True, False])
@pytest.mark.parametrize("separator", [b"\n", b""])
def test_a_document_over_the_limit_is_skipped_to_its_own_end(
    follow: Callable[..., Follower], separator: bytes, *, is_indented: bool
) -> None:
    follower = follow(documents=True, max_line=Size.parse("64KiB"))
    long = json.dumps(
        {"a": [{"b": '} "' + "x" * 700}] * 4000}, indent=2 if is_indented else None
    ).encode()
    path = follower.traces / "a.jsonl"
    path.write_bytes(
        separator.join([indent_document(1), long, indent_document(2), long, indent_document(3)])
    )
    follower.scan()
    segment = find_segment(follower)
    chunks = read(follower, segment)
    assert content(chunks) == [indent_document(1), indent_document(2), indent_document(3)]
    rejected = [rejection for chunk in chunks for rejection in chunk.rejected]
    assert [path.read_bytes()[each.start : each.end] for each in rejected] == [long, long]
    assert {each.reason for each in rejected} == {"too_long"}


def test_a_document_over_the_limit_that_is_still_written_is_waited_for(
    follow: Callable[..., Follower],
) -> None:
    follower = follow(documents=True, max_line=Size.parse("4KiB"))
    path = follower.traces / "a.jsonl"
    long = indent_document(1, 2_000_000)
    path.write_bytes(long[:3_000_000])
    follower.scan()
    segment = find_segment(follower)
    assert read(follower, segment) == []
    with path.open("ab") as file:
        file.write(long[3_000_000:] + b"\n" + indent_document(2))
    follower.scan()
    skipped, *rest = read(follower, segment)
    assert [(each.start, each.end) for each in skipped.rejected] == [(0, len(long))]
    assert content(rest) == [indent_document(2)]


def test_an_archive_ends_its_last_document(follow: Callable[..., Follower], tmp_path: Path) -> None:
    documents = follow(documents=True, include=(f"{tmp_path}/traces/*.gz",))
    path = documents.traces / "a.json.gz"
    path.write_bytes(
        gzip.compress(
            indent_document(1) + b"\n" + indent_document(2) + b"\n" + indent_document(3)[:-20]
        )
    )
    documents.scan()
    segment = find_segment(documents)
    assert content(read(documents, segment)) == [
        indent_document(1),
        indent_document(2),
        indent_document(3)[:-20],
    ]


def test_each_version_that_replaces_a_file_is_a_segment_of_its_own(documents: Follower) -> None:
    path, written = documents.traces / "a.jsonl", []
    for number in range(4):
        steps = [{"action": "ls"}] * (number + 1)
        written.append(json.dumps({"info": "x" * 5000, "trajectory": steps}, indent=1).encode())
        temporary = documents.traces / "a.tmp"
        temporary.write_bytes(written[-1])
        os.replace(temporary, path)
        documents.turns(2)
    seen = b"\n".join([*documents.lines, *documents.torn])
    assert seen.count(b'"info"') == 4
    assert not documents.losses


class _Counted:
    """Bytes that count how many of them were read."""

    def __init__(self) -> None:
        self.content = b""
        self.taken = 0

    def pread(self, length: int, offset: int) -> bytes:
        found = self.content[offset : offset + length]
        self.taken += len(found)
        return found

    def find_data(self, offset: int) -> int:
        return offset


def test_waiting_for_the_end_of_a_long_document_does_not_read_it_again_and_again() -> None:
    source, chunker = _Counted(), DocumentChunker(b"k" * 32)
    long = indent_document(1, 300_000)
    ends = range(1000, len(long), 1000)
    for end in ends:
        source.content = long[:end]
        assert chunker.cut(source, 1, 0, max_line=1 << 26, ending=Ending.OPEN) is None
    assert source.taken < sum(ends) // 8
    source.content = long
    span = chunker.cut(source, 1, 0, max_line=1 << 26, ending=Ending.OPEN)
    assert span is not None
    assert span.data == long


def test_a_checkpoint_between_documents_survives_a_restart(documents: Follower) -> None:
    path = documents.traces / "a.jsonl"
    path.write_bytes(indent_document(1) + b"\n" + indent_document(2)[:30])
    documents.scan()
    segment = find_segment(documents)
    assert content(read(documents, segment)) == [indent_document(1)]
    documents.kill()
    with path.open("ab") as file:
        file.write(indent_document(2)[30:])
    documents.scan()
    assert content(read(documents, segment)) == [indent_document(2)]
    assert documents.store.checkpoints[segment] != Checkpoint(0, b"")
