"""Archives that end in an unusual way: without a newline, in the middle, damaged."""

from __future__ import annotations

import dataclasses
import gzip
import os
import pathlib
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from tests.tail.follower import Follower, Writer
from tracesidecar.tail.options import SourceLimits

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
SUFFIXES = pytest.mark.parametrize("suffix", PACK)


@pytest.fixture
def follower(follow: Callable[..., Follower], tmp_path: pathlib.Path) -> Follower:
    return follow(include=(f"{tmp_path}/traces/*",))


def put(follower: Follower, suffix: str, archive: bytes) -> pathlib.Path:
    path = follower.traces / f"a.jsonl.{suffix}"
    path.write_bytes(archive)
    return path


def is_settled(follower: Follower) -> bool:
    """Nothing is left to deliver of any archive."""
    return all(
        follower.store.checkpoints[segment].offset >= view.size
        for segment, view in follower.tailer.segments().items()
        if view.state == "live"
    )


@SUFFIXES
@pytest.mark.parametrize("width", [10, 300_000, 3 << 20])
def test_an_archive_whose_only_line_has_no_newline_is_read(
    follower: Follower, suffix: str, width: int
) -> None:
    text = random.Random(7).randbytes(width // 2).hex().encode()
    line = b'{"only": "%s"}' % text
    put(follower, suffix, PACK[suffix](line))
    follower.turn()
    assert follower.torn == [line]
    assert is_settled(follower)
    follower.restart()
    follower.turns(2)
    assert follower.torn == [line]


@SUFFIXES
@pytest.mark.parametrize("cut", [1, 4, 8])
@pytest.mark.parametrize("members", [1, 2])
def test_the_last_line_of_an_archive_that_was_cut_in_its_trailer_is_read(
    follower: Follower, writer: Writer, suffix: str, cut: int, members: int
) -> None:
    if suffix == "zst" and cut > 4:
        pytest.skip("its checksum has four bytes")
    whole = PACK[suffix](writer.make(5)) * (members - 1)
    line = b'{"last": 1}'
    put(follower, suffix, whole + PACK[suffix](writer.make(5) + line)[:-cut])
    follower.turns(2)
    assert follower.torn == [line]
    assert is_settled(follower)
    follower.restart()
    follower.turns(2)
    assert follower.torn == [line]


@SUFFIXES
def test_the_last_line_of_an_archive_that_is_still_written_waits(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    packed = PACK[suffix](writer.make(200) + b'{"last": 1}')
    path = put(follower, suffix, packed[: len(packed) // 2])
    follower.turns(6)
    assert follower.torn == []
    path.write_bytes(packed)
    follower.turns(2)
    assert follower.torn == [b'{"last": 1}']
    assert follower.count_lines() == Counter(writer.written)


def test_the_last_line_of_a_long_archive_that_was_cut_is_read_once_nobody_writes_to_it(
    follower: Follower,
) -> None:
    noise = random.Random(1).randbytes(2 << 20).hex().encode()
    body = b"\n".join(b'{"n": "%s"}' % noise[at : at + 999] for at in range(0, len(noise), 999))
    path = put(follower, "gz", gzip.compress(body, 1)[:-4])
    follower.turn()
    assert follower.torn == []
    aged = time.time() - 10
    os.utime(path, (aged, aged))
    follower.turns(2)
    assert follower.torn == [body.rpartition(b"\n")[2]]


@SUFFIXES
def test_an_archive_that_is_larger_than_its_content_is_finished(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    archive = PACK[suffix](writer.make(1, 0))
    assert len(archive) > len(b"".join(writer.written)) + 1
    put(follower, suffix, archive)
    follower.turns(2)
    assert follower.lines == writer.written
    assert is_settled(follower)


@SUFFIXES
def test_a_length_that_an_earlier_version_took_from_the_compressed_size_is_corrected(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    archive = PACK[suffix](writer.make(1, 0))
    put(follower, suffix, archive)
    follower.turns(2)
    follower.stop()
    ((segment, record),) = follower.store.records.items()
    follower.store.records[segment] = dataclasses.replace(record, length=len(archive))
    follower.start()
    follower.turns(2)
    assert follower.lines == writer.written
    assert is_settled(follower)


@SUFFIXES
@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_archive_of_a_few_bytes_is_not_taken_for_text(
    follower: Follower, writer: Writer, suffix: str, count: int
) -> None:
    archive = PACK[suffix](writer.make(3))
    path = put(follower, suffix, archive[:count])
    follower.turns(3)
    path.write_bytes(archive)
    follower.turns(3)
    assert follower.lines == writer.written
    assert follower.torn == []


@pytest.mark.parametrize("variant", [0, 15])
@pytest.mark.parametrize("seen", [2, 12, 1 << 20])
def test_an_archive_that_begins_with_a_skippable_frame_is_read(
    follower: Follower, writer: Writer, variant: int, seen: int
) -> None:
    """pzstd writes one before each frame, with the frame's size in it (RFC 8878, section 3.1.2)."""
    archive = b""
    for _ in range(3):
        frame = PACK["zst"](writer.make(20))
        archive += bytes([0x50 + variant]) + b"\x2a\x4d\x18\x04\0\0\0"
        archive += len(frame).to_bytes(4, "little") + frame
    path = put(follower, "zst", archive[:seen])
    follower.turns(3)
    path.write_bytes(archive)
    follower.turns(3)
    assert follower.lines == writer.written
    assert (follower.torn, follower.losses) == ([], [])


@SUFFIXES
@pytest.mark.parametrize("lines", [1, 20, 60_000])
@pytest.mark.parametrize("back", [1, 4])
def test_all_lines_before_a_damaged_trailer_are_read(
    follower: Follower, writer: Writer, suffix: str, lines: int, back: int
) -> None:
    archive = bytearray(PACK[suffix](writer.make(lines)))
    archive[-back * (2 if suffix == "gz" else 1)] ^= 0x55  # gzip: also its length, zstd: checksum
    put(follower, suffix, bytes(archive))
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert [(loss.reason, loss.lost_bytes) for loss in follower.losses] == [("corrupt", 0)]
    follower.restart()
    follower.turns(3)
    assert len(follower.lines) == lines
    assert len(follower.losses) == 1


@SUFFIXES
def test_lines_before_damage_in_the_middle_are_read_and_the_rest_is_lost_in_decompressed_bytes(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    content = writer.make(60_000)
    archive = bytearray(PACK[suffix](content))
    middle = len(archive) * 2 // 3
    archive[middle:-8] = random.Random(3).randbytes(len(archive) - middle - 8)
    put(follower, suffix, bytes(archive))
    follower.turns(3)
    assert follower.lines[:30_000] == writer.written[:30_000]  # after the damage come odd lines
    (loss,) = follower.losses
    assert (loss.reason, loss.offset + loss.lost_bytes) == ("corrupt", len(content))


@SUFFIXES
def test_a_slow_sink_still_reads_the_lines_before_the_damage(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    archive = bytearray(PACK[suffix](writer.make(60_000)))
    archive[-1] ^= 0x55
    put(follower, suffix, bytes(archive))
    follower.behind = True
    follower.turn()
    (segment,) = follower.tailer.segments()
    assert follower.read_chunk(segment)
    follower.turns(5)
    assert follower.losses == []
    follower.restart()
    follower.behind = False
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert [loss.reason for loss in follower.losses] == ["corrupt"]


@SUFFIXES
def test_a_damaged_archive_that_is_replaced_by_a_whole_one_loses_nothing(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    archive = PACK[suffix](writer.make(20_000))
    damaged = bytearray(archive)
    damaged[len(archive) // 2 : len(archive) // 2 + 64] = b"\xff" * 64
    path = put(follower, suffix, bytes(damaged))
    follower.behind = True
    follower.turn()
    with path.open("r+b") as file:
        file.write(archive)
    follower.behind = False
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert follower.losses == []


BEGIN: dict[str, Callable[[], Any]] = {
    "gz": lambda: zlib.compressobj(wbits=31),
    "zst": lambda: zstandard.ZstdCompressor().compressobj(),
}
PAUSE = {"gz": zlib.Z_FULL_FLUSH, "zst": zstandard.COMPRESSOBJ_FLUSH_BLOCK}


def cut(suffix: str, lines: bytes) -> bytes:
    """Return an archive that ends behind these lines, before its stream does."""
    packer = BEGIN[suffix]()
    archive: bytes = packer.compress(lines) + packer.flush(PAUSE[suffix])
    return archive


def age(path: pathlib.Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))


@SUFFIXES
@pytest.mark.parametrize("rest", [b"", b'{"half": '])
def test_an_archive_that_was_cut_is_a_loss_once_nobody_has_written_to_it_for_a_day(
    follower: Follower, writer: Writer, suffix: str, rest: bytes
) -> None:
    path = put(follower, suffix, cut(suffix, writer.make(300) + rest))
    age(path, 0.9)
    follower.turns(5)
    assert (follower.losses, follower.torn) == ([], [])
    age(path, 1.1)
    follower.turns(5)
    assert (follower.lines, follower.torn) == (writer.written, [rest] if rest else [])
    assert [(loss.reason, loss.lost_bytes) for loss in follower.losses] == [("corrupt", 0)]
    follower.restart()
    follower.turns(3)
    assert (len(follower.lines), len(follower.losses)) == (300, 1)


@SUFFIXES
def test_an_archive_that_was_cut_goes_on_where_it_ended_if_it_is_written_to_after_all(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    packer = BEGIN[suffix]()
    path = put(follower, suffix, packer.compress(writer.make(300)) + packer.flush(PAUSE[suffix]))
    age(path, 2)
    follower.turns(5)
    assert [loss.reason for loss in follower.losses] == ["corrupt"]
    follower.restart()
    with path.open("ab") as file:
        file.write(packer.compress(writer.make(20)) + packer.flush())
    follower.turn()
    assert follower.last.recovered == (follower.losses[0].segment.id,)
    follower.turns(5)
    assert follower.lines == writer.written
    assert len(follower.losses) == 1


@SUFFIXES
@pytest.mark.parametrize("rest", [b"", b'{"half": '])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_archive_that_was_cut_is_a_loss_once_it_is_deleted(
    follower: Follower, writer: Writer, suffix: str, rest: bytes, *, is_restarted: bool
) -> None:
    path = put(follower, suffix, cut(suffix, writer.make(300) + rest))
    follower.turns(3)
    path.unlink()
    if is_restarted:
        follower.restart()
    follower.turns(10)
    assert (follower.lines, follower.torn) == (writer.written, [rest] if rest else [])
    assert [(loss.reason, loss.lost_bytes) for loss in follower.losses] == [("corrupt", 0)]
    assert (os.listdir(follower.held), follower.store.records) == ([], {})


@SUFFIXES
def test_an_archive_that_was_cut_is_a_loss_once_it_is_deleted_although_it_is_retained(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    path = put(follower, suffix, cut(suffix, writer.make(300) + b'{"half": '))
    follower.turns(3)
    (segment,) = follower.tailer.segments()
    follower.tailer.retain(frozenset([segment]))
    path.unlink()
    follower.turns(10)
    assert [(loss.reason, loss.lost_bytes) for loss in follower.losses] == [("corrupt", 0)]
    assert len(os.listdir(follower.held)) == 1
    follower.tailer.retain(frozenset())
    follower.turns(10)
    assert (len(follower.losses), os.listdir(follower.held)) == (1, [])


@SUFFIXES
def test_an_archive_of_which_only_the_header_is_there_is_a_loss_after_a_day(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    path = put(follower, suffix, PACK[suffix](writer.make(300))[:12])
    age(path, 2)
    follower.turns(5)
    assert [loss.reason for loss in follower.losses] == ["corrupt"]


@SUFFIXES
def test_an_archive_that_was_cut_becomes_a_loss_in_a_daemon_that_goes_on_running(
    follower: Follower, writer: Writer, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(follower, suffix, cut(suffix, writer.make(300)))
    follower.turns(5)
    assert follower.losses == []
    tomorrow = time.time() + 2 * 86400
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    monkeypatch.setattr(time, "time_ns", lambda: int(tomorrow * 1e9))
    follower.turn(61)
    follower.turns(3)
    assert [loss.reason for loss in follower.losses] == ["corrupt"]


@SUFFIXES
def test_a_whole_archive_that_is_deleted_is_no_loss(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    path = put(follower, suffix, PACK[suffix](writer.make(300)))
    age(path, 2)
    follower.turns(3)
    path.unlink()
    follower.turns(10)
    assert (follower.lines, follower.losses) == (writer.written, [])


@SUFFIXES
def test_an_archive_of_nothing_that_is_deleted_is_no_loss(
    follower: Follower, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(follower, suffix, PACK[suffix](b""))
    follower.turns(3)
    path.unlink()
    let_time_pass(monkeypatch, 61)
    follower.turns(10)
    assert (follower.losses, follower.store.records) == ([], {})


def let_time_pass(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    later = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(time, "time_ns", lambda: int(later * 1e9))


BARELY_BEGUN = pytest.mark.parametrize(("suffix", "size"), [("gz", 1), ("gz", 12), ("zst", 14)])


@BARELY_BEGUN
def test_an_archive_of_which_only_the_header_is_there_is_a_loss_once_it_is_deleted(
    follower: Follower, writer: Writer, suffix: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(follower, suffix, PACK[suffix](writer.make(300))[:size])
    follower.turns(3)
    path.unlink()
    follower.turns(10)
    assert follower.losses == []  # whoever has it open may still write to it
    let_time_pass(monkeypatch, 61)
    follower.turns(3)
    assert len(follower.losses) == 1
    assert (os.listdir(follower.held), follower.store.records) == ([], {})


@BARELY_BEGUN
@pytest.mark.parametrize("is_linked", [False, True])
def test_an_archive_that_barely_began_and_was_deleted_while_nobody_looked_is_a_loss(
    follower: Follower,
    writer: Writer,
    suffix: str,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_linked: bool,
) -> None:
    path = put(follower, suffix, PACK[suffix](writer.make(300))[:size])
    (follower.traces / "other").touch()  # an empty root may be that of another file system
    follower.turns(3)
    follower.stop()
    path.unlink()
    if not is_linked:
        for link in follower.held.iterdir():
            link.unlink()
    let_time_pass(monkeypatch, 61)
    follower.start()
    follower.turns(10)
    assert len(follower.losses) == 1
    assert os.listdir(follower.held) == []


@SUFFIXES
def test_an_archive_that_barely_began_and_was_moved_while_nobody_looked_arrives(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    whole = PACK[suffix](writer.make(300))
    path = put(follower, suffix, whole[:14])
    follower.turns(3)
    follower.stop()
    with path.open("ab") as file:
        file.write(whole[14:])
    path.rename(follower.root / "elsewhere")
    follower.start()
    follower.turns(5)
    assert (follower.lines, follower.losses) == (writer.written, [])


EMPTY = {"gz": gzip.compress(b""), "zst": b"\x50\x2a\x4d\x18\0\0\0\0"}


@SUFFIXES
def test_an_archive_that_goes_on_without_content_ends_there(
    follower: Follower, writer: Writer, suffix: str
) -> None:
    # 16 MB of empty frames kept the lines of all sources waiting for minutes
    first, last = writer.make(3), writer.make(1)
    put(follower, suffix, PACK[suffix](first) + EMPTY[suffix] * 20_000 + PACK[suffix](last))
    follower.turns(3)
    assert follower.lines == writer.written[:3]
    assert [(loss.reason, loss.offset) for loss in follower.losses] == [("corrupt", len(first))]
    follower.restart()
    follower.turns(3)
    assert len(follower.lines) == 3
    assert len(follower.losses) == 1


@SUFFIXES
def test_archives_of_empty_files_and_of_single_lines_are_read_to_the_end(
    follower: Follower, suffix: str
) -> None:
    # one `gzip -c >> archive` for each line: these made an archive damaged after 8,600
    lines = [b'{"n":%d}\n' % number for number in range(20_000)]
    pack = PACK[suffix]
    empty, rest = EMPTY[suffix] * 2000, b"".join(map(pack, lines[1:]))
    put(follower, suffix, pack(lines[0]) + empty + rest)
    follower.turns(3)
    assert [each + b"\n" for each in follower.lines] == lines
    assert follower.losses == []


@SUFFIXES
@pytest.mark.parametrize("is_hole", [True, False], ids=["hole", "zeros"])
def test_zeros_behind_an_archive_are_no_damage_however_many(
    follower: Follower, writer: Writer, suffix: str, is_hole: bool
) -> None:
    """Blocks of a tape, or space that was allocated before: `gzip` ignores them, too."""
    path = put(follower, suffix, PACK[suffix](writer.make(3)))
    with path.open("ab") as file:
        if is_hole:
            file.truncate(1 << 42)
        else:
            file.write(bytes(9 << 20))
    follower.turns(3)
    with path.open("ab") as file:
        file.write(PACK[suffix](writer.make(3)))
    follower.turns(3)
    assert follower.lines == writer.written
    assert follower.losses == []


@SUFFIXES
def test_zeros_between_the_members_of_an_archive_are_no_input_that_may_expand(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, suffix: str
) -> None:
    """A hole of 3 MiB, which takes no space, let 600 MiB through."""
    follower = follow(include=(f"{tmp_path}/traces/*",), limits=SourceLimits(ratio=10))
    path = put(follower, suffix, PACK[suffix](b'{"n":1}\n'))
    with path.open("ab") as file:
        file.truncate(3 << 20)
        file.seek(0, os.SEEK_END)
        file.write(PACK[suffix](b'{"n":"%s"}\n' % (b"x" * 50_000) * 100))
    follower.turns(3)
    assert len(follower.lines) < 10
