"""Files that are renamed, copied, truncated, deleted or replaced, running or stopped.

Each line is read once.
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import pathlib
import shutil
from collections import Counter
from collections.abc import Callable

import pytest
import zstandard

from tests.tail.follower import Follower, Writer
from tracesidecar.tail.holding.link_names import LinkName

RUNNING_OR_STOPPED = pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])


def while_(stopped: bool, follower: Follower, act: Callable[[], None]) -> None:
    """Do something between two turns, or between two processes."""
    if stopped:
        follower.stop()
    act()
    if stopped:
        follower.start()
    follower.turns(8)


def truncate(path: pathlib.Path, size: int = 0) -> None:
    os.truncate(path, size)


def gzip_file(path: pathlib.Path) -> pathlib.Path:
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return target


def zstd_file(path: pathlib.Path) -> pathlib.Path:
    target = path.with_name(path.name + ".zst")
    target.write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    path.unlink()
    return target


def assert_exact(follower: Follower, writer: Writer) -> None:
    assert follower.count_lines() - Counter(writer.written) == Counter(), "something arrived twice"
    assert Counter(writer.written) - follower.count_lines() == Counter(), "something is missing"
    assert [loss for loss in follower.losses if loss.lost_bytes] == []
    assert follower.rejected == []


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("lines", [1, 300], ids=["short", "long"])
def test_rename_rotation_loses_and_repeats_nothing(
    follower: Follower, writer: Writer, stopped: bool, lines: int
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, lines)
    follower.turn()

    def rotate() -> None:
        writer.append(a, lines)
        a.rename(follower.traces / "a.jsonl.1")
        writer.append(a, lines)

    while_(stopped, follower, rotate)
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("rotated", ["family", "glob"])
def test_generations_that_came_and_went_unseen_are_found(
    follow: Callable[..., Follower], writer: Writer, stopped: bool, rotated: str
) -> None:
    follower = follow(rotated=rotated)
    a = follower.traces / "a.jsonl"
    old = follower.traces / "a.jsonl.9"
    old.write_bytes(b'{"from": "before us"}\n')
    os.utime(old, (1, 1))
    if rotated == "family":
        writer.written.append(b'{"from": "before us"}')
    writer.append(a, 10)
    follower.turn()

    def rotate() -> None:
        for _ in range(4):
            writer.append(a, 10)
            for number in range(3, 0, -1):
                name = follower.traces / f"a.jsonl.{number}"
                if name.exists():
                    name.rename(follower.traces / f"a.jsonl.{number + 1}")
            a.rename(follower.traces / "a.jsonl.1")
        writer.append(a, 10)

    while_(stopped, follower, rotate)
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
def test_generations_that_were_compressed_unseen_are_found(
    follower: Follower, writer: Writer, stopped: bool
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 100)
    follower.turn()

    def rotate() -> None:
        writer.append(a, 10)
        a.rename(follower.traces / "a.jsonl.2")
        writer.append(a, 10)
        a.rename(follower.traces / "a.jsonl.1")
        gzip_file(follower.traces / "a.jsonl.2")
        gzip_file(follower.traces / "a.jsonl.1")
        writer.append(a, 10)

    while_(stopped, follower, rotate)
    assert_exact(follower, writer)


def test_a_writer_that_keeps_the_rotated_file_open_is_followed(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    with a.open("ab", buffering=0) as old:
        old.write(writer.make(5))
        follower.turn()
        a.rename(follower.traces / "a.jsonl.1")
        for _ in range(3):
            old.write(writer.make(5))
            follower.turn()
        writer.append(a, 5)
        follower.turn()
        old.write(writer.make(5))
        follower.turns(2)
    assert_exact(follower, writer)


def test_a_file_moved_to_a_directory_that_is_not_watched_is_read_to_its_end(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    away = follower.root / "away"
    away.mkdir()
    with a.open("ab", buffering=0) as file:
        file.write(writer.make(5))
        follower.turn()
        file.write(writer.make(5))
        a.rename(away / "a.jsonl")
        follower.turn()
        file.write(writer.make(5))
        follower.turns(2)
    assert_exact(follower, writer)


def test_moved_away_truncated_and_moved_back_is_a_new_generation(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 50)
    follower.turn()
    away = follower.root / "b"
    a.rename(away)
    truncate(away)
    writer.append(away, 5)
    away.rename(a)
    follower.turns()
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("unread", [0, 30], ids=["read", "partly-read"])
@pytest.mark.parametrize(
    "include", ["*.jsonl", "*.jsonl*"], ids=["copy-outside-glob", "copy-inside-glob"]
)
@pytest.mark.parametrize("lines", [3, 400], ids=["short", "long"])
def test_copytruncate_loses_and_repeats_nothing(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    stopped: bool,
    unread: int,
    include: str,
    lines: int,
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/**/{include}",))
    a = follower.traces / "a.jsonl"
    writer.append(a, lines)
    follower.turn()

    def rotate() -> None:
        if unread:
            writer.append(a, unread)
        shutil.copyfile(a, follower.traces / "a.jsonl.1")
        truncate(a)
        writer.append(a, 2)

    while_(stopped, follower, rotate)
    assert_exact(follower, writer)


@pytest.mark.parametrize("seen_bytes", [1, 300], ids=["a byte", "the first line"])
def test_a_copy_that_first_looks_like_an_older_file_still_waits(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, writer: Writer, seen_bytes: int
) -> None:
    """Once it no longer looked like the first guess, it was taken at once, and all came twice."""
    follower = follow(include=(f"{tmp_path}/traces/**/*.jsonl*",))
    header = b'{"header": "%s"}\n' % (b"x" * 400)
    for name in ("a.jsonl.2", "a.jsonl"):
        (follower.traces / name).write_bytes(header)
        writer.written.append(header.rstrip(b"\n"))
        writer.append(follower.traces / name, 10)
    follower.turns(3)
    a, copy = follower.traces / "a.jsonl", follower.traces / "a.jsonl.1"
    copy.write_bytes(a.read_bytes()[:seen_bytes])
    follower.turn()
    copy.write_bytes(a.read_bytes())
    follower.turn()
    truncate(a)
    writer.append(a, 2)
    follower.turns(8)
    assert_exact(follower, writer)


def test_a_growing_file_that_begins_like_an_archive_is_read_at_once(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, writer: Writer
) -> None:
    """It waited, as a copy in progress of the archive, for as long as it grew."""
    follower = follow(include=(f"{tmp_path}/traces/**/*.jsonl*",))
    header = b'{"header": "%s"}\n' % (b"x" * 5000)
    a = follower.traces / "a.jsonl"
    for _ in range(2):
        a.write_bytes(header)
        writer.written.append(header.rstrip(b"\n"))
        writer.append(a, 10)
        follower.turns(2)
        assert_exact(follower, writer)
        gzip_file(a.rename(follower.traces / "a.jsonl.1"))
        follower.turns(2)


def test_a_copy_that_is_first_seen_together_with_its_original_waits(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, writer: Writer
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/**/*.jsonl*",))
    a = follower.traces / "a.jsonl"
    writer.append(a, 20)
    shutil.copyfile(a, follower.traces / "a.jsonl.1")
    follower.turn()
    truncate(a)
    writer.append(a, 2)
    follower.turns(8)
    assert_exact(follower, writer)


@pytest.mark.parametrize("write", ["save", "forget"])
def test_a_kill_before_either_write_of_a_scan_makes_no_second_file_of_a_copy(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    monkeypatch: pytest.MonkeyPatch,
    write: str,
) -> None:
    """The copy had a record of its own, from when it was empty, beside that of the original."""

    def die(_: object) -> None:
        raise KeyboardInterrupt

    follower = follow(include=(f"{tmp_path}/traces/**/*.jsonl*",))
    a, copy = follower.traces / "a.jsonl", follower.traces / "a.jsonl.1"
    writer.append(a, 20)
    follower.turns(2)
    copy.touch()
    follower.turn(seconds=31.0)
    shutil.copyfile(a, copy)
    truncate(a)
    writer.append(a, 5)
    monkeypatch.setattr(follower.store, write, die)
    with pytest.raises(KeyboardInterrupt):
        follower.scan()
    monkeypatch.undo()
    follower.kill()
    follower.turns(20)
    assert_exact(follower, writer)


@pytest.mark.parametrize(
    "include", ["*.jsonl", "*.jsonl*"], ids=["copy-outside-glob", "copy-inside-glob"]
)
@pytest.mark.parametrize("lines", [20, 600], ids=["short", "long"])
def test_a_copy_seen_in_the_middle_waits(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    include: str,
    lines: int,
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/**/{include}",))
    a = follower.traces / "a.jsonl"
    writer.append(a, lines)
    follower.turn()
    writer.append(a, 5)
    data = a.read_bytes()
    with (follower.traces / "a.jsonl.1").open("wb", buffering=0) as copy:
        for third in range(3):
            copy.write(data[third * len(data) // 3 : (third + 1) * len(data) // 3])
            follower.turn(3.0)
    follower.turn(3.0)
    truncate(a)
    follower.turn()
    writer.append(a, 5)
    follower.turns()
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("lines", [20, 600], ids=["short", "long"])
def test_a_copy_whose_original_stays_is_a_file_of_its_own(
    follower: Follower, writer: Writer, stopped: bool, lines: int
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, lines)
    follower.turn()

    def copy() -> None:
        shutil.copyfile(a, follower.traces / "b.jsonl")

    while_(stopped, follower, copy)
    assert follower.count_lines() == Counter(writer.written * 2)


@RUNNING_OR_STOPPED
@pytest.mark.parametrize(
    "include", ["*.jsonl", "*.jsonl*"], ids=["copy-outside-glob", "copy-inside-glob"]
)
@pytest.mark.parametrize("lines", [5, 300], ids=["short", "long"])
def test_successive_copies_into_the_same_file_are_distinguished(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    stopped: bool,
    include: str,
    lines: int,
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/**/{include}",))
    a = follower.traces / "a.jsonl"

    def rotate() -> None:
        writer.append(a, 2)
        shutil.copyfile(a, follower.traces / "a.jsonl.1")
        truncate(a)
        writer.append(a, lines)

    writer.append(a, lines)
    follower.turn()
    for _ in range(4):
        while_(stopped, follower, rotate)
    assert_exact(follower, writer)


def test_copytruncate_right_after_the_start_of_a_read_is_not_delivered_as_the_old_file(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 10)
    follower.turn()
    writer.append(a, 10)
    follower.scan()
    shutil.copyfile(a, follower.traces / "a.jsonl.1")
    truncate(a)
    writer.append(a, 30)
    follower.read()
    follower.turns()
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("after", [1, 10, 30], ids=["less", "same", "more"])
@pytest.mark.parametrize("width", [40, 900], ids=["short", "long"])
def test_truncate_then_write_is_a_new_generation(
    follower: Follower, writer: Writer, stopped: bool, after: int, width: int
) -> None:
    a = follower.traces / "a.jsonl"
    writer.number = 100
    writer.append(a, 10, width)
    follower.turn()

    def rewrite() -> None:
        truncate(a)
        writer.append(a, after, width)

    while_(stopped, follower, rewrite)
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("after", [20, 30, 40], ids=["less", "same", "more"])
def test_a_rewrite_is_sent_again_from_its_first_change(
    follower: Follower, writer: Writer, stopped: bool, after: int
) -> None:
    a = follower.traces / "a.jsonl"
    writer.number = 100
    head = writer.make(10, 900)
    a.write_bytes(head + writer.make(30, 900))
    follower.turn()
    before = list(writer.written)

    def rewrite() -> None:
        with a.open("r+b") as file:
            file.write(head + writer.make(after, 900))
            file.truncate()

    while_(stopped, follower, rewrite)
    assert follower.count_lines() == Counter(before) + Counter(writer.written[40:])
    assert [loss for loss in follower.losses if loss.lost_bytes] == []


def test_a_truncation_of_unread_bytes_is_reported_with_its_length(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 10)
    follower.turn()
    read = a.stat().st_size
    writer.append(a, 10)
    follower.scan()
    size = a.stat().st_size
    truncate(a)
    follower.turns()
    assert [
        (loss.reason, loss.offset, loss.size, loss.segment.path) for loss in follower.losses
    ] == [("truncated", read, size, str(a))]


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("compress", [gzip_file, zstd_file])
@pytest.mark.parametrize(
    "include", ["*.jsonl", "*.jsonl*"], ids=["archive-outside-glob", "archive-inside-glob"]
)
@pytest.mark.parametrize("unread", [0, 3000], ids=["read", "partly-read"])
def test_a_rotated_file_that_is_compressed_continues_at_its_offset(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    stopped: bool,
    compress: Callable[[pathlib.Path], pathlib.Path],
    include: str,
    unread: int,
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/**/{include}",))
    a = follower.traces / "a.jsonl"
    writer.append(a, 3000)
    follower.turn()

    def rotate() -> None:
        if unread:
            writer.append(a, unread)
        rotated = a.rename(follower.traces / "a.jsonl.1")
        if not stopped:
            follower.turn()
        compress(rotated)
        writer.append(a, 3)

    while_(stopped, follower, rotate)
    assert_exact(follower, writer)


def test_a_linked_file_that_was_compressed_while_stopped_is_not_sent_twice(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, writer: Writer
) -> None:
    follower = follow(include=(f"{tmp_path}/traces/**/*.jsonl*",))
    a = follower.traces / "a.jsonl"
    writer.append(a, 100)
    follower.turn()
    writer.append(a, 100)
    follower.scan()
    follower.stop()
    gzip_file(a)
    follower.start()
    follower.turns()
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
def test_a_file_deleted_while_the_sink_is_behind_is_read_to_its_end(
    follower: Follower, writer: Writer, stopped: bool
) -> None:
    a = follower.traces / "a.jsonl"
    follower.behind = True
    writer.append(a, 5000)
    follower.turn()

    def delete() -> None:
        a.unlink()

    while_(stopped, follower, delete)
    assert follower.last.held_bytes > 0
    follower.behind = False
    follower.turns()
    assert_exact(follower, writer)
    assert list(follower.held.iterdir()) == []
    assert follower.store.records == {}


def test_a_deleted_file_without_link_or_descriptor_is_reported_lost(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 10)
    follower.turn()
    read = a.stat().st_size
    writer.append(a, 10)
    follower.scan()
    size = a.stat().st_size
    follower.stop()
    a.unlink()
    shutil.rmtree(follower.held)
    follower.start()
    follower.turns()
    assert [
        (loss.reason, loss.offset, loss.size, loss.segment.path) for loss in follower.losses
    ] == [("deleted", read, size, str(a))]
    assert follower.store.records == {}


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("after", [1, 10, 30], ids=["less", "same", "more"])
def test_delete_and_recreate_is_two_files(
    follower: Follower, writer: Writer, stopped: bool, after: int
) -> None:
    a = follower.traces / "a.jsonl"
    writer.number = 100
    writer.append(a, 10)
    follower.turn()

    def recreate() -> None:
        a.unlink()
        writer.append(a, after)

    while_(stopped, follower, recreate)
    assert_exact(follower, writer)


def test_the_unfinished_last_line_of_a_deleted_file_is_torn(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    with a.open("ab") as file:
        file.write(b'{"half": ')
    follower.turns(2)
    assert follower.torn == []
    a.unlink()
    follower.turns(2)
    assert follower.torn == [b'{"half": ']
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
def test_rotation_at_every_byte_of_a_line(
    follower: Follower, writer: Writer, stopped: bool
) -> None:
    a = follower.traces / "a.jsonl"
    line = len(writer.make(1, 8))
    writer.written.clear()
    for position in range(line + 1):
        data = writer.make(2, 8)
        with a.open("ab") as file:
            file.write(data[:position])
        follower.turn()

        def rotate(data: bytes = data, position: int = position) -> None:
            rotated = a.rename(follower.traces / f"a.jsonl.{position + 1}")
            writer.append(a, 1, 8)
            with rotated.open("ab") as file:
                file.write(data[position:])

        if stopped:
            follower.stop()
        rotate()
        if stopped:
            follower.start()
        follower.turns(2)
    assert_exact(follower, writer)


def test_a_new_device_number_changes_nothing(follower: Follower, writer: Writer) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 100)
    follower.turn()
    follower.stop()
    follower.store.records = {
        segment: type(record)(
            **{name: getattr(record, name) for name in record.__slots__}
            | {"device": record.device + 7}
        )
        for segment, record in follower.store.records.items()
    }
    writer.append(a, 10)
    follower.start()
    follower.turns()
    assert_exact(follower, writer)
    assert len(follower.store.records) == 1


def test_a_file_replaced_by_rename_with_the_same_content_and_more_continues(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 100)
    follower.turn()
    copy = follower.traces / "tmp"
    shutil.copyfile(a, copy)
    writer.append(copy, 5)
    copy.rename(a)
    follower.turns()
    assert_exact(follower, writer)


def test_ten_renames_between_two_turns_lose_and_repeat_nothing(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 5)
    follower.turn()
    for _ in range(10):
        writer.append(a, 5)
        for number in range(10, 0, -1):
            name = follower.traces / f"a.jsonl.{number}"
            if name.exists():
                name.rename(follower.traces / f"a.jsonl.{number + 1}")
        a.rename(follower.traces / "a.jsonl.1")
    writer.append(a, 5)
    follower.turns()
    assert_exact(follower, writer)


def test_a_writer_that_does_not_append_leaves_a_hole_that_is_a_line_of_its_own(
    follower: Follower, writer: Writer
) -> None:
    """After copytruncate the next write lands at the old offset.

    The NULs before it make that line invalid, and no other.
    """
    a = follower.traces / "a.jsonl"
    with a.open("wb", buffering=0) as stale:
        stale.write(writer.make(50))
        follower.turn()
        shutil.copyfile(a, follower.traces / "a.jsonl.1")
        truncate(a)
        stale.write(writer.make(3))
        follower.turns()
    assert [line.lstrip(b"\0") for line in follower.lines] == writer.written
    assert sum(line.startswith(b"\0") for line in follower.lines) == 1


@RUNNING_OR_STOPPED
def test_only_numbered_siblings_of_a_rotated_file_are_taken(
    follow: Callable[..., Follower], writer: Writer, stopped: bool
) -> None:
    follower = follow(rotated="glob")  # with "family", the old copy would be a rotated file too
    a = follower.traces / "a.jsonl"
    writer.append(a, 10)
    follower.turn()

    def rotate() -> None:
        writer.append(a, 10)
        for name in ("a.jsonl.bak", "a.jsonl.swp", "b.jsonl.1", "notes.txt"):
            (follower.traces / name).write_bytes(b'{"not": "ours"}\n')
        shutil.copyfile(a, follower.traces / "a.jsonl.20200101")
        os.utime(follower.traces / "a.jsonl.20200101", (1, 1))
        a.rename(follower.traces / "a.jsonl.1")
        writer.append(a, 10)

    while_(stopped, follower, rotate)
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("cut", [1, 40, 5000, 200_000], ids=str)
@pytest.mark.parametrize("same", [True, False], ids=["same", "other"])
def test_a_file_that_lost_its_end_and_goes_on_sends_only_what_is_new(
    follower: Follower, writer: Writer, stopped: bool, cut: int, same: bool
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 8000)
    follower.turns(4)
    content = a.read_bytes()
    kept = content[: len(content) - cut]
    kept = kept[: kept.rfind(b"\n") + 1]
    sent = list(writer.written)

    def lose_the_end() -> None:
        truncate(a, len(kept))
        if same:
            with a.open("ab") as file:
                file.write(content[len(kept) :])
        writer.append(a, 5)

    while_(stopped, follower, lose_the_end)
    lost = content[len(kept) :].splitlines()
    new = Counter(writer.written[len(sent) :])
    more = follower.count_lines() - Counter(sent) - new
    assert Counter(sent) + new - follower.count_lines() == Counter(), "something is missing"
    if cut < 60_000:
        assert more == Counter(), "something that did not change was sent again"
    else:
        assert sum(more.values()) <= len(lost), "from the last sample on"
    assert [loss for loss in follower.losses if loss.lost_bytes] == []


@RUNNING_OR_STOPPED
def test_a_rewrite_in_the_middle_that_keeps_size_head_and_tail_is_noticed(
    follower: Follower, writer: Writer, stopped: bool
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 600)
    follower.turns(4)
    content = a.read_bytes()
    assert len(content) > 3 * 4096
    lines = content.split(b"\n")
    number = len(lines) // 2
    lines[number] = lines[number].replace(b"x", b"y").replace(b"1", b"2").replace(b"3", b"4")
    changed = b"\n".join(lines)
    assert len(changed) == len(content)
    assert changed != content

    def rewrite() -> None:
        with a.open("r+b") as file:
            file.write(changed)

    while_(stopped, follower, rewrite)
    assert lines[number] in follower.lines
    assert follower.count_lines() == Counter(writer.written) + Counter(lines[number:-1])


@pytest.mark.parametrize("began_anew", [False, True])
def test_a_file_that_was_emptied_while_we_were_stopped_is_a_loss_of_unknown_size(
    follower: Follower, writer: Writer, *, began_anew: bool
) -> None:
    """What was appended before was lost without a row; for a deletion there was one."""
    a = follower.traces / "a.jsonl"
    writer.append(a, 20)
    follower.turns(4)
    size = a.stat().st_size
    follower.stop()
    with a.open("ab") as file:
        file.write(b'{"nobody": "has seen this"}\n')
    truncate(a, 0)
    if began_anew:
        writer.append(a, 3)
    follower.start()
    follower.turns(10)
    assert follower.lines == writer.written
    assert [(loss.reason, loss.offset, loss.size) for loss in follower.losses] == [
        ("gone", size, size)
    ]
    truncate(a, 0)
    follower.turns(10)
    assert len(follower.losses) == 1, "no scan has missed what was in it"


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("kept", [0, 10])
def test_a_rewrite_in_place_is_reported_once(
    follower: Follower, writer: Writer, kept: int, stopped: bool
) -> None:
    """With most of its lines, but not its first one, it was a rewrite and another version."""
    a = follower.traces / "a.jsonl"
    writer.append(a, 20)
    follower.turns(4)
    lines = a.read_bytes().splitlines(keepends=True)
    reported: list[str] = []

    if stopped:
        follower.stop()
    a.write_bytes(b"".join([*lines[:kept], writer.make(1), *lines[kept + 1 :]]))
    if stopped:
        follower.start()
    for _ in range(8):
        follower.turn()
        reported += [each.reason for each in follower.last.rewrites]
    assert reported == ["changed"]


@RUNNING_OR_STOPPED
def test_a_copied_file_that_begins_anew_with_the_same_line_repeats_nothing(
    follower: Follower, writer: Writer, stopped: bool
) -> None:
    """Not a file that lost its end: what it held goes on in the copy."""
    a = follower.traces / "a.jsonl"
    writer.append(a, 20)
    follower.turns(4)
    header = writer.written[0]

    def copy_and_start_over() -> None:
        writer.append(a, 3)
        shutil.copyfile(a, f"{a}.1")
        truncate(a, 0)
        a.write_bytes(header + b"\n")
        writer.written.append(header)
        writer.append(a, 2)

    while_(stopped, follower, copy_and_start_over)
    assert_exact(follower, writer)


@pytest.mark.parametrize("copy", ["a.jsonl.1", "old/a.jsonl.1"], ids=["beside", "elsewhere"])
@pytest.mark.parametrize("is_met", [False, True], ids=["unseen-copy", "empty-copy"])
def test_a_copy_that_no_listing_has_shown_keeps_what_its_original_held(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    copy: str,
    is_met: bool,
) -> None:
    """The original starts over with the same line, before its directory is listed again."""
    follower = follow(include=(f"{tmp_path}/traces/**/*.jsonl*",))
    a, target = follower.traces / "a.jsonl", follower.traces / copy
    target.parent.mkdir(exist_ok=True)
    writer.append(a, 20)
    follower.turns(4)
    header = writer.written[0]
    if is_met:
        target.touch()
    writer.append(a, 3)
    follower.scan(1.0)
    shutil.copyfile(a, target)
    truncate(a, 0)
    a.write_bytes(header + b"\n")
    writer.written.append(header)
    writer.append(a, 2)
    assert not follower.scan(0.2).rewrites  # too early for another listing
    follower.turns(8)
    assert_exact(follower, writer)


def test_an_archive_begun_of_a_generation_that_nobody_has_met_is_not_read_beside_it(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, writer: Writer
) -> None:
    """Copied, started over, renamed, and half compressed, all between two scans."""
    follower = follow(include=(f"{tmp_path}/traces/**/*.jsonl*",))
    a, rotated = follower.traces / "a.jsonl", follower.traces / "a.jsonl.1"
    archive = follower.traces / "a.jsonl.1.gz"
    writer.append(a, 2)
    follower.turns(2)
    shutil.copyfile(a, follower.traces / "a.jsonl.2")
    truncate(a)
    writer.append(a, 200)
    a.rename(rotated)
    packed = gzip.compress(rotated.read_bytes())
    archive.write_bytes(packed[: len(packed) // 2])
    follower.turns(2)
    archive.write_bytes(packed)
    rotated.unlink()
    follower.turns(12)
    assert_exact(follower, writer)


def test_a_file_whose_record_a_kill_left_empty_goes_on_in_its_archive(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was linked and taken, and compressed before its record was written."""

    def die(_: object) -> None:
        raise KeyboardInterrupt

    a = follower.traces / "a.jsonl"
    a.touch()
    follower.turn(seconds=31.0)
    writer.append(a, 20)
    monkeypatch.setattr(follower.store, "save", die)
    with pytest.raises(KeyboardInterrupt):
        follower.scan()
    monkeypatch.undo()
    follower.kill()
    gzip_file(a)
    follower.turns(2)
    follower.kill()
    follower.turns(12)
    assert_exact(follower, writer)
    assert list(follower.held.glob("unknown/*")) == []


def test_a_copy_that_was_begun_before_the_first_scan_is_not_read_beside_its_original(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow()
    path, copy = follower.traces / "a.jsonl", follower.traces / "a.jsonl.1"
    writer.append(path, 200)
    content = path.read_bytes()
    copy.write_bytes(content[:5000])
    follower.turns(2)
    copy.write_bytes(content)
    follower.turns(2)
    os.truncate(path, 0)
    writer.append(path, 3)
    follower.turns()
    assert follower.count_lines() == Counter(writer.written)
    assert follower.losses == []


def test_a_file_that_another_begins_with_and_that_rests_is_read_too(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow()
    writer.append(follower.traces / "a.jsonl", 20)
    content = (follower.traces / "a.jsonl").read_bytes()
    whole = content[: content.index(b"\n", 500) + 1]
    (follower.traces / "a.jsonl.1").write_bytes(whole)
    follower.turns()
    assert follower.count_lines() == Counter(writer.written) + Counter(whole.splitlines())


def test_a_finished_copy_whose_record_a_kill_prevented_is_no_segment_of_its_own(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had its link, and was decided about; a kill came before the journal knew (seed 421)."""

    def die(_: object) -> None:
        raise KeyboardInterrupt

    a = follower.traces / "a.jsonl"
    writer.append(a, 20)
    follower.turns(4)
    copy = follower.traces / "a.jsonl.1"
    copy.write_bytes(a.read_bytes()[:1])
    follower.kill()  # so that the next scan saves the record of what is still undecided
    follower.turn()
    writer.append(a, 20)
    shutil.copyfile(a, copy)
    truncate(a)
    for write in ("forget", "save"):  # in this order a scan writes them
        monkeypatch.setattr(follower.store, write, die)
        with pytest.raises(KeyboardInterrupt):
            follower.scan()
        monkeypatch.undo()
        follower.kill()
    follower.turns(12)
    assert_exact(follower, writer)


def compress(path: pathlib.Path) -> None:
    pathlib.Path(f"{path}.1.gz").write_bytes(gzip.compress(path.read_bytes()))


def copy_beside(path: pathlib.Path) -> None:
    shutil.copyfile(path, f"{path}.1")


def copy_into_another_directory(path: pathlib.Path) -> None:
    (path.parent / "0").mkdir()
    shutil.copyfile(path, path.parent / "0" / path.name)


@pytest.mark.parametrize("copy", [compress, copy_beside, copy_into_another_directory])
@pytest.mark.parametrize("is_replaced", [True, False])
@pytest.mark.parametrize("is_behind", [True, False])
def test_a_file_that_only_its_first_notice_kept_is_not_read_beside_what_was_made_of_it(
    tmp_path: pathlib.Path,
    follow: Callable[..., Follower],
    writer: Writer,
    copy: Callable[[pathlib.Path], None],
    is_replaced: bool,
    is_behind: bool,
) -> None:
    """The daemon was killed when it had linked the new file; both are new to the next one."""
    follower = follow(include=(f"{tmp_path}/traces/**/*.jsonl", f"{tmp_path}/traces/**/*.jsonl.*"))
    follower.held.mkdir(exist_ok=True)
    path = follower.traces / "a.jsonl"
    writer.append(path, 4, 2000)
    link = LinkName(1, "agent", str(path)).encode().replace("segment-", "arrival-")
    os.link(path, follower.held / link)
    copy(path)
    path.unlink()
    if is_replaced:
        writer.append(path, 5)
    follower.behind = is_behind
    follower.kill()
    follower.turns(12)
    follower.behind = False
    follower.turns()
    assert_exact(follower, writer)


def test_a_generation_whose_record_a_kill_prevented_has_one_link_after_it(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    """Seen: a second link of ours counted as a name, so that the file never counted as deleted.

    In which order the links are met differs.
    """
    follower = follow(include=(f"{follow().traces}/*.jsonl*",))
    for number in range(8):
        writer.append(follower.traces / f"{number}.jsonl", 5)
    follower.turns(3)
    follower.kill()
    for record in list(follower.store.records.values()):
        path = pathlib.Path(record.path)
        [link] = follower.held.glob(f"segment-{record.id}:*")
        link.unlink()
        shutil.copyfile(path, f"{path}.1")
        os.link(f"{path}.1", follower.held / f"{link.name}.1")
        path.write_bytes(writer.make(9))
        os.link(path, follower.held / link.name.replace(str(record.id), str(record.id + 1)))
    follower.kill()
    follower.turns(3)
    links = Counter(link.stat().st_ino for link in follower.held.glob("segment-*"))
    assert set(links.values()) == {1}
    assert follower.count_lines() == Counter(writer.written)


@pytest.mark.parametrize("is_behind", [True, False])
def test_a_loss_is_that_of_the_file_that_is_gone_and_not_of_the_one_that_got_its_inode(
    follow: Callable[..., Follower], writer: Writer, is_behind: bool
) -> None:
    follower = follow(protect="never")
    gone, other = follower.traces / "gone.jsonl", follower.traces / "other.jsonl"
    writer.append(gone, 5)
    follower.behind = is_behind
    follower.turns(3)
    size = gone.stat().st_size
    gone.unlink()
    follower.kill()
    writer.append(other, 7)
    (record,) = follower.store.records.values()
    inode = other.stat().st_ino
    follower.store.records[record.id] = dataclasses.replace(record, inode=inode)
    follower.behind = False
    follower.kill()
    follower.turns(12)
    follower.restart()
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written[5 if is_behind else 0 :])
    paths = [(loss.segment.path, loss.lost_bytes) for loss in follower.losses]
    assert paths == [(str(gone), size if is_behind else 0)]
    assert {record.path for record in follower.store.records.values()} == {str(other)}


def test_a_file_that_got_the_inode_of_a_copy_of_the_same_size_is_read(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow()
    path, copy = follower.traces / "a.jsonl", follower.traces / "a.jsonl.1"
    writer.append(path, 4)
    follower.turns()
    shutil.copyfile(path, copy)
    follower.turns(12)
    assert follower.count_lines() == Counter(writer.written)
    follower.kill()
    copy.write_bytes(writer.make(4))
    follower.turns()
    assert follower.count_lines() == Counter(writer.written)


@pytest.mark.parametrize("is_read", [True, False])
def test_a_file_that_is_truncated_after_a_scan_has_looked_at_it_goes_on_in_its_copy(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    """Its copy is new in this scan, and is like no file any more when that decides about it."""
    path, copy = follower.traces / "a.jsonl", follower.traces / "a.jsonl.1"
    writer.append(path, 20)
    follower.turns(3)
    writer.append(path, 20)
    if is_read:
        follower.turns(3)
    shutil.copyfile(path, copy)
    decide = follower.tailer._scan_sequence._new_files.decide

    def truncate_first() -> None:
        if path.exists() and copy.stat().st_size == path.stat().st_size:
            truncate(path)
            writer.append(path, 3)
        decide()

    monkeypatch.setattr(follower.tailer._scan_sequence._new_files, "decide", truncate_first)
    follower.turns()
    assert_exact(follower, writer)


@RUNNING_OR_STOPPED
@pytest.mark.parametrize("kept", [1, 5])
def test_a_small_file_that_is_written_anew_with_its_first_lines_is_read_from_the_first_change_on(
    follower: Follower, writer: Writer, stopped: bool, kept: int
) -> None:
    """All of it is its prefix, which is another one then."""
    a = follower.traces / "a.jsonl"
    writer.append(a, 10)
    follower.turns(4)

    def rewrite() -> None:
        a.write_bytes(b"".join(line + b"\n" for line in writer.written[:kept]))
        writer.append(a, 20)

    while_(stopped, follower, rewrite)
    assert_exact(follower, writer)
