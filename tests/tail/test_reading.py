"""Chunks: they end on the grid and hold whole lines, also of archives, and are the same again."""

from __future__ import annotations

import gzip
import hashlib
import os
import pathlib
import tracemalloc
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
import zstandard

from tests.tail.follower import KEY, Follower, Writer
from tracesidecar.model import BEGINNING, CHUNK_BYTES, CHUNK_LINES, Checkpoint, Chunk, Rejection
from tracesidecar.tail.options import SourceLimits
from tracesidecar.tail.reading import compressed
from tracesidecar.tail.reading.chunker import ReadLimits
from tracesidecar.tail.reading.expansion import LINE_BYTES, SMALL_ARCHIVE_BYTES, SMALL_ARCHIVES
from tracesidecar.units import Size

MIB = 1 << 20


def chunks(follower: Follower, segment: int, at: Checkpoint = BEGINNING) -> list[Chunk]:
    found = []
    while (chunk := follower.tailer.read(segment, at)) is not None:
        found.append(chunk)
        at = chunk.next
    return found


def find_segment(follower: Follower) -> int:
    (segment,) = follower.tailer.segments()
    return segment


def test_all_readers_see_the_same_chunks(follower: Follower, writer: Writer) -> None:
    writer.append(follower.traces / "a.jsonl", 40_000, 60)
    follower.scan()
    segment = find_segment(follower)
    whole = chunks(follower, segment)
    assert chunks(follower, segment) == whole
    assert chunks(follower, segment, whole[0].next) == whole[1:]
    for chunk in whole:
        assert (
            chunk.start // CHUNK_BYTES
            == (chunk.data.rfind(b"\n", 0, -1) + 1 + chunk.start) // CHUNK_BYTES
        )
        assert chunk.data.endswith(b"\n")
    assert b"".join(chunk.data for chunk in whole) == (follower.traces / "a.jsonl").read_bytes()


@pytest.mark.parametrize("documents", [False, True])
def test_a_chunk_of_very_short_lines_ends_before_the_grid_line(
    follow: Callable[..., Follower], *, documents: bool
) -> None:
    follower = follow(documents=documents)
    content = b"{}\n" * (CHUNK_LINES * 2 + 5)
    (follower.traces / "a.jsonl").write_bytes(content)
    follower.turn()
    found = chunks(follower, find_segment(follower))
    assert [chunk.data.count(b"\n") for chunk in found] == [CHUNK_LINES, CHUNK_LINES, 5]
    assert b"".join(chunk.data for chunk in found) == content


@pytest.mark.parametrize("documents", [False, True])
def test_a_chunk_of_very_many_objects_ends_earlier_unless_it_is_one_line(
    follow: Callable[..., Follower], *, documents: bool
) -> None:
    follower = follow(documents=documents)
    line = b"[" + b",".join([b"{}"] * 100) + b"]\n"
    content = line * 8 + b"[" + b",".join([b"{}"] * 1000) + b"]\n" + line * 2
    (follower.traces / "a.jsonl").write_bytes(content)
    follower.scan()
    segment, at, found = find_segment(follower), BEGINNING, []
    limits = ReadLimits(objects=500)
    while (chunk := follower.tailer.read(segment, at, limits=limits)) is not None:
        found.append(chunk.data)
        at = chunk.next
    assert b"".join(found) == content
    assert max(data.count(b"{") for data in found if data.count(b"\n") > 1) <= 500
    assert len(found) <= 6


@pytest.mark.parametrize("offset", [-2, -1, 0, 1])
def test_a_newline_at_the_grid_line_ends_the_right_chunk(follower: Follower, offset: int) -> None:
    first = b"x" * (MIB + offset) + b"\n"
    (follower.traces / "a.jsonl").write_bytes(b"a\n" + first[2:] + b"second\nthird\n")
    follower.turn()
    assert [len(line) for line in follower.lines] == [1, MIB + offset - 2, 6, 5]


@pytest.mark.parametrize(
    "length", [0, 1, 65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB, 16 * MIB]
)
def test_lines_of_all_lengths_arrive_with_their_neighbours(follower: Follower, length: int) -> None:
    lines = [b"before", b"y" * length, b"after"]
    (follower.traces / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    follower.turn()
    assert follower.lines == lines


@pytest.mark.parametrize("limit", [10, 4096, MIB, 5 * MIB])
def test_a_line_over_the_limit_is_skipped_and_its_neighbours_arrive(
    follow: Callable[..., Follower], limit: int
) -> None:
    follower = follow(max_line=Size(limit))
    exact, over = b"e" * limit, b"o" * (limit + 1)
    (follower.traces / "a.jsonl").write_bytes(
        b"\n".join([b"before", over, exact, over, b"after", b"last"]) + b"\n"
    )
    follower.turn()
    assert follower.lines == [b"before", exact, b"after", b"last"]
    digest = hashlib.blake2b(over, key=KEY, digest_size=16).digest()
    second = 7 + len(over) + 1 + len(exact) + 1
    assert follower.rejected == [
        Rejection(7, 7 + len(over), "too_long", digest),
        Rejection(second, second + len(over), "too_long", digest),
    ]


def test_a_long_line_that_comes_in_pieces_is_measured_once_and_never_in_memory(
    follow: Callable[..., Follower],
) -> None:
    follower = follow(max_line=Size(4 * MIB))
    a = follower.traces / "a.jsonl"
    tracemalloc.start()
    with a.open("ab", buffering=0) as file:
        file.write(b"before\n")
        for _ in range(20):
            file.write(b"z" * MIB)
            follower.turn()
        file.write(b"\nafter\n")
    follower.turn()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert follower.lines == [b"before", b"after"]
    assert [(rejection.start, rejection.end) for rejection in follower.rejected] == [
        (7, 7 + 20 * MIB)
    ]
    assert peak < 8 * MIB


def test_a_long_line_that_was_measured_in_part_is_skipped_after_a_restart(
    follow: Callable[..., Follower],
) -> None:
    follower = follow(max_line=Size(MIB))
    a = follower.traces / "a.jsonl"
    a.write_bytes(b"before\n" + b"z" * 3 * MIB)
    follower.turn()
    follower.restart()
    with a.open("ab") as file:
        file.write(b"z\nafter\n")
    follower.turns(2)
    assert (follower.lines, len(follower.rejected)) == ([b"before", b"after"], 1)


def test_a_torn_line_waits_for_its_end_also_over_a_restart(follower: Follower) -> None:
    a = follower.traces / "a.jsonl"
    a.write_bytes(b'{"a": 1}\n{"b"')
    follower.turns(10)
    follower.restart()
    follower.turns(3)
    assert follower.lines == [b'{"a": 1}']
    with a.open("ab") as file:
        file.write(b": 2}\n")
    follower.turn()
    assert follower.lines == [b'{"a": 1}', b'{"b": 2}']


def test_a_prefix_that_grows_keeps_the_file_the_same(follower: Follower, writer: Writer) -> None:
    for _ in range(60):
        writer.append(follower.traces / "a.jsonl", 2)
        follower.turn()
        follower.restart()
    assert follower.count_lines() == Counter(writer.written)
    assert len(follower.store.records) == 1


def test_a_range_is_read_again_in_the_same_pieces(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(max_line=Size(2 * MIB))
    a = follower.traces / "a.jsonl"
    writer.append(a, 30_000, 60)
    with a.open("ab") as file:
        file.write(b"l" * 3 * MIB + b"\n")
    writer.append(a, 30_000, 60)
    follower.scan()
    segment = find_segment(follower)
    whole = chunks(follower, segment)
    pieces = follower.tailer.read_range(segment, whole[0].end, whole[-1].end)
    assert pieces is not None
    assert list(pieces) == [chunk.data for chunk in whole[1:]]


def test_a_range_that_is_gone_is_none(follower: Follower, writer: Writer) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 10)
    follower.turn()
    size = a.stat().st_size
    os.truncate(a, 10)
    segment = find_segment(follower)
    assert follower.tailer.read_range(segment, 0, size) is None
    assert follower.tailer.read_range(12345, 0, size) is None


def test_bytes_changed_before_the_checkpoint_are_never_delivered(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 10)
    follower.turn()
    writer.append(a, 1)
    follower.scan()
    with a.open("r+b") as file:
        file.seek(a.stat().st_size - 200)
        file.write(b"#")
    before = len(follower.lines)
    follower.read()
    assert len(follower.lines) == before
    follower.turns()
    assert [loss.reason for loss in follower.losses] == ["changed"]


def multi_member(data: bytes) -> bytes:
    middle = data.index(b"\n", len(data) // 2) - 3
    return gzip.compress(data[:middle]) + gzip.compress(data[middle:])


def zstandard_frames(data: bytes) -> bytes:
    middle = len(data) // 2
    return zstandard.compress(data[:middle]) + zstandard.compress(data[middle:])


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("gz", gzip.compress),
        ("gz", multi_member),
        ("zst", zstandard.compress),
        ("zst", zstandard_frames),
    ],
)
def test_archives_are_read_in_the_chunks_of_their_content(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    suffix: str,
    pack: Callable[[bytes], bytes],
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/*",), max_line=Size(2 * MIB))
    data = writer.make(50_000, 60) + b"q" * (2 * MIB) + b"\n" + writer.make(2)
    (follower.traces / f"a.jsonl.{suffix}").write_bytes(pack(data))
    follower.turn()
    assert follower.count_lines() == Counter([*writer.written, b"q" * (2 * MIB)])
    follower.restart()
    follower.turns(2)
    assert len(follower.lines) == len(writer.written) + 1


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("gz", gzip.compress),
        ("gz", multi_member),
        ("zst", zstandard.compress),
        ("zst", zstandard_frames),
    ],
)
def test_an_archive_that_ends_too_early_waits_for_its_rest(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    suffix: str,
    pack: Callable[[bytes], bytes],
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/*",))
    data = pack(writer.make(20_000))
    with (follower.traces / f"a.jsonl.{suffix}").open("ab", buffering=0) as file:
        for tenth in range(10):
            file.write(data[tenth * len(data) // 10 : (tenth + 1) * len(data) // 10])
            follower.turn()
            if tenth == 5:
                follower.restart()
    follower.turns(2)
    assert follower.count_lines() == Counter(writer.written)
    assert follower.losses == []


def test_an_archive_read_in_part_is_read_on_after_a_restart(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, writer: Writer
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/*",))
    (follower.traces / "a.jsonl.gz").write_bytes(
        gzip.compress(writer.make(50_000) + b'{"unterminated": 1}')
    )
    follower.scan()
    assert follower.read_chunk(find_segment(follower))
    follower.restart()
    follower.open.clear()
    follower.turns(2)
    assert follower.count_lines() == Counter(writer.written)
    assert follower.torn == [b'{"unterminated": 1}']
    follower.restart()
    follower.turns(2)
    assert len(follower.lines) == len(writer.written)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_damaged_archive_is_reported_once_and_the_others_arrive(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, writer: Writer, suffix: str
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/*",))
    pack = gzip.compress if suffix == "gz" else zstandard.compress
    damaged = bytearray(
        pack(
            b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() + b"\n" for n in range(40_000))
        )
    )
    damaged[len(damaged) // 2 : len(damaged) // 2 + 64] = b"\xff" * 64
    (follower.traces / f"a.jsonl.{suffix}").write_bytes(damaged)
    writer.append(follower.traces / "b.jsonl", 3)
    follower.turns()
    follower.restart()
    follower.turns()
    assert [loss.reason for loss in follower.losses] == ["corrupt"]
    assert not Counter(writer.written) - follower.count_lines()


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize(
    "content", [b"\n" * 3 * MIB, b'{"a":1}\n' * MIB], ids=["blank lines", "short lines"]
)
def test_a_bomb_waits_at_the_ratio_and_goes_on_with_a_higher_one(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, suffix: str, content: bytes
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/*",), limits=SourceLimits(ratio=100))
    packed = gzip.compress(content) if suffix == "gz" else zstandard.compress(content)
    bomb = follower.traces / f"a.jsonl.{suffix}"
    bomb.write_bytes(packed)
    (follower.traces / "good.jsonl").write_bytes(b'{"good":1}\n')
    follower.turns()
    allowed = 100 * max(SMALL_ARCHIVE_BYTES, len(packed))
    counted = max(sum(len(line) + 1 for line in follower.lines), LINE_BYTES * len(follower.lines))
    assert 0 < counted <= allowed + 2 * LINE_BYTES
    assert b'{"good":1}' in follower.lines
    (limit,) = follower.last.limits
    assert (limit.source, limit.limit, limit.allowed, limit.waiting, limit.path) == (
        "agent",
        "ratio",
        100,
        1,
        str(bomb),
    )
    assert limit.used > 100
    follower.restart()
    follower.turns()
    assert [each.limit for each in follower.last.limits] == ["ratio"]
    bomb.unlink()  # our link keeps what may still be read
    follower.turns()
    follower.restart()
    follower.turns()
    assert [each.limit for each in follower.last.limits] == ["ratio"]
    follower.sources = [
        msgspec.structs.replace(follower.sources[0], limits=SourceLimits(ratio=1_000_000))
    ]
    follower.restart()
    follower.turns()
    assert follower.last.limits == ()
    assert b"".join(line + b"\n" for line in follower.lines if b"good" not in line) == content
    assert follower.losses == []


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_small_archive_of_one_long_and_dull_line_is_no_bomb(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, suffix: str
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/*",))
    line = b'{"t":"%s"}\n' % (b"x" * 3 * MIB)
    pack = gzip.compress if suffix == "gz" else zstandard.compress
    (follower.traces / f"a.jsonl.{suffix}").write_bytes(pack(line))
    follower.turns()
    follower.turns()
    assert [len(each) for each in follower.lines] == [len(line) - 1]
    assert follower.last.limits == ()


def test_a_lower_limit_changes_nothing_of_what_was_read(
    follow: Callable[..., Follower], tmp_path: pathlib.Path
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/*",), limits=SourceLimits(ratio=10_000))
    content = b'{"a":1}\n' * 100_000
    (follower.traces / "a.jsonl.gz").write_bytes(gzip.compress(content))
    follower.turns()
    assert len(follower.lines) == 100_000
    follower.sources = [msgspec.structs.replace(follower.sources[0], limits=SourceLimits(ratio=10))]
    follower.restart()
    follower.turns()
    (follower.traces / "a.jsonl.gz").rename(follower.traces / "a.jsonl.1.gz")
    follower.turns()
    assert len(follower.lines) == 100_000
    assert follower.losses == []
    assert follower.last.limits == ()


def test_a_bomb_that_is_gone_before_it_may_be_read_is_a_loss(
    follow: Callable[..., Follower], tmp_path: pathlib.Path
) -> None:
    follower = follow(
        include=(f"{tmp_path}/traces/*",), protect="never", limits=SourceLimits(ratio=100)
    )
    bomb = follower.traces / "a.jsonl.gz"
    bomb.write_bytes(gzip.compress(b'{"a":1}\n' * MIB))
    follower.turns()
    follower.stop()
    bomb.unlink()
    follower.start()
    follower.turns(12)
    (loss,) = follower.losses
    assert loss.reason in ("bomb", "gone", "deleted")
    assert follower.last.limits == ()


def test_two_readers_apart_in_one_archive_do_not_decompress_it_from_the_beginning_each_time(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/*",))
    (follower.traces / "a.jsonl.gz").write_bytes(gzip.compress(writer.make(200_000, 60)))
    follower.scan()
    segment = find_segment(follower)
    begun = []
    begin = compressed.ArchiveFile._restart

    def count_and_begin(archive: compressed.ArchiveFile) -> None:
        begun.append(1)
        begin(archive)

    monkeypatch.setattr(compressed.ArchiveFile, "_restart", count_and_begin)
    ahead = chunks(follower, segment)[8].next
    behind = BEGINNING
    for _ in range(6):
        for at in (ahead, behind):
            chunk = follower.tailer.read(segment, at)
            assert chunk is not None
            if at == ahead:
                ahead = chunk.next
            else:
                behind = chunk.next
    assert len(begun) <= 4


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_some_small_archives_an_hour_may_expand_far_and_the_others_wait(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, suffix: str
) -> None:
    """Each of any number of archives of 400 bytes could become 6 MiB."""
    follower = follow(include=(f"{tmp_path}/traces/*",), limits=SourceLimits(ratio=10))
    pack = gzip.compress if suffix == "gz" else zstandard.compress
    trap = b'{"x":"%s"}\n' % (b"x" * 300_000)
    for number in range(SMALL_ARCHIVES + 5):
        (follower.traces / f"{number:02}.jsonl.{suffix}").write_bytes(pack(b"%d" % number + trap))
    follower.turns(3)
    assert len(follower.lines) == SMALL_ARCHIVES
    assert [(each.limit, each.waiting) for each in follower.last.limits] == [("ratio", 5)]
    usual = b'{"id":"%s"}\n' % hashlib.sha256(b"").hexdigest().encode()
    (follower.traces / f"usual.jsonl.{suffix}").write_bytes(pack(usual))
    follower.turns(3)
    assert follower.lines[SMALL_ARCHIVES:] == [usual.rstrip()]
    follower.now += 3600
    follower.turns(6)
    assert len(follower.lines) == SMALL_ARCHIVES + 6
    assert not follower.last.limits
    assert follower.losses == []
