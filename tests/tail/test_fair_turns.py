"""A scan does a bounded share of each source, so that none waits for the files of another."""

from __future__ import annotations

import gzip
import os
import pathlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec
import pytest

from tests.tail.follower import Follower, Writer
from tracesidecar.tail import file_table, turns
from tracesidecar.tail.discovery import poll_schedule, walk
from tracesidecar.tail.file_table import File
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import SegmentRecord
from tracesidecar.tail.tracking import continuation, segment_log
from tracesidecar.tail.tracking.verification import Verification
from tracesidecar.units import Seconds

MANY = 12
LINE = b'{"n":1}\n'


@pytest.fixture
def both(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Follower:
    """Follow a hostile source and, after it, a good one, by scans that have time for nothing."""
    follower = follow()
    (tmp_path / "good").mkdir()
    follower.sources.append(
        SourceOptions(name="good", include=(f"{tmp_path}/good/*.jsonl",), copy_grace=Seconds(5))
    )
    follower.restart()
    follower.turn()
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    return follower


def files(follower: Follower, source: str) -> int:
    return sum(count for (name, _), count in follower.tailer.counts().items() if name == source)


def many_files(root: pathlib.Path, name: str) -> list[pathlib.Path]:
    made = [root / f"{name}{number}.jsonl" for number in range(MANY)]
    for number, path in enumerate(made):
        path.write_bytes(b'{"file":"%s%d"}\n' % (name.encode(), number))
    return made


def test_a_good_file_is_met_in_the_next_scan_whatever_the_hostile_source_does(
    both: Follower,
) -> None:
    traces, good = both.traces, both.root / "good"
    made: list[pathlib.Path] = []

    def append() -> None:
        for path in made:
            with path.open("ab") as file:
                file.write(LINE)

    def rename() -> None:
        for path in made:
            path.rename(path.with_name(f"r{path.name}"))

    def in_folders() -> None:
        for number in range(MANY):
            (traces / f"d{number}").mkdir()
            (traces / f"d{number}" / "x.jsonl").write_bytes(LINE)

    def delete() -> None:
        for path in made:
            path.with_name(f"r{path.name}").unlink()

    def copy() -> None:
        for number in range(MANY):
            (traces / f"copy{number}.jsonl").write_bytes(LINE * 3)

    def write() -> None:
        made.extend(many_files(traces, "f"))

    for attack in (write, append, rename, delete, in_folders):
        attack()
        (good / f"{len(os.listdir(good))}.jsonl").write_bytes(LINE)
        before = files(both, "good")
        both.now += 1
        assert both.take_scan().has_more
        assert files(both, "good") == before + 1
        both.turn(6)
    copy()
    both.turns(12)
    assert both.losses == []
    assert both.count_lines()[LINE.rstrip()] == 5 + MANY * 5


def test_all_of_it_is_read_in_the_end(both: Follower) -> None:
    many_files(both.traces, "a")
    scans = 1
    both.now += 1
    while both.take_scan().has_more:
        scans += 1
    assert scans >= 3
    assert files(both, "agent") == MANY
    both.read()
    assert len(both.lines) == MANY


def test_rotated_files_of_one_name_are_looked_at_together(both: Follower, writer: Writer) -> None:
    many_files(both.traces, "a")
    names = [f"z.jsonl{suffix}" for suffix in ("", ".1", ".2", ".3")]
    for name in names:
        writer.append(both.traces / name, 2)
    both.now += 1
    is_over = False
    while not is_over:
        is_over = not both.take_scan().has_more
        paths = {view.segment.path for view in both.tailer.segments().values()}
        assert [name for name in names if f"{both.traces}/{name}" in paths] in ([], names)


def test_a_large_directory_is_listed_in_pieces_and_the_good_source_is_met_between_them(
    both: Follower, writer: Writer
) -> None:
    names = [f"z.jsonl{suffix}" for suffix in ("", ".1", ".2", ".3")]
    many = 5 * walk.PIECE
    for number in range(many):
        (both.traces / f"{number}.jsonl").write_bytes(b'{"file":%d}\n' % number)
    for name in names:
        writer.append(both.traces / name, 2)
    for scans in range(2):
        both.now += 1
        (both.root / "good" / f"{scans}.jsonl").write_bytes(LINE)
        assert both.take_scan().has_more
        assert files(both, "good") == scans + 1
        assert files(both, "agent") == 0, "rotated files may be among what is not listed yet"
    while both.take_scan().has_more:
        paths = {view.segment.path for view in both.tailer.segments().values()}
        assert [name for name in names if f"{both.traces}/{name}" in paths] in ([], names)
    assert files(both, "agent") == many + len(names)


def test_all_files_are_compared_in_pieces_and_a_good_one_is_met_between_them(
    both: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 3 * poll_schedule.COMPARED_AT_ONCE
    for number in range(many):
        (both.traces / f"{number}.jsonl").write_bytes(b'{"file":%d}\n' % number)
    good = both.root / "good" / "a.jsonl"
    good.write_bytes(LINE)
    both.turns(2)
    compared: list[File] = []
    is_quiet = poll_schedule._is_quiet

    def compare(file: File, directory: int) -> bool:
        compared.append(file)
        return is_quiet(file, directory)

    monkeypatch.setattr(poll_schedule, "_is_quiet", compare)
    with good.open("ab") as file:
        file.write(LINE)
    both.now += 1
    assert both.take_scan().has_more
    assert len(compared) == poll_schedule.COMPARED_AT_ONCE + 1
    both.read()
    assert both.count_lines()[LINE.rstrip()] == 2
    while both.take_scan().has_more:
        pass
    assert len(compared) == many + 1


def test_a_limit_stays_reached_while_its_directory_is_listed_again(both: Follower) -> None:
    limits = msgspec.structs.replace(both.sources[0].limits, files=3)
    both.sources[0] = msgspec.structs.replace(both.sources[0], limits=limits)
    for number in range(3 * walk.PIECE):
        (both.traces / f"{number}.jsonl").write_bytes(LINE)
    both.restart()
    both.scan()
    [reached] = both.tailer.list_reached_limits()
    (both.traces / "another.jsonl").write_bytes(LINE)
    both.now += 60
    scans = 1
    while both.take_scan().has_more:
        scans += 1
        assert [each.limit for each in both.tailer.list_reached_limits()] == ["files"]
    assert scans >= 3
    [again] = both.tailer.list_reached_limits()
    assert (again.used, again.waiting) == (reached.used, reached.waiting + 1)


def test_what_is_missing_is_given_up_after_a_search_in_pieces(both: Follower) -> None:
    for number in range(3 * walk.PIECE):
        (both.traces / f"{number}.jsonl").write_bytes(b'{"file":%d}\n' % number)
    both.scan()
    lost = both.root / "good" / "a.jsonl"
    both.sources[1] = msgspec.structs.replace(both.sources[1], protect="never")
    both.restart()
    lost.write_bytes(LINE)
    both.scan()
    both.tailer._open_files.close()
    lost.unlink()
    both.turns(8)
    assert [(loss.segment.path, loss.size) for loss in both.losses] == [(str(lost), len(LINE))]


def test_the_records_of_very_many_files_that_may_wait_are_saved_some_at_a_time(
    follow: Callable[..., Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = follow()
    many = 3 * segment_log.LAZY_AT_ONCE
    for number in range(many):
        (follower.traces / f"{number}.jsonl").write_bytes(b'{"file":%d}\n' % number)
    follower.turn()
    for number in range(many):
        with (follower.traces / f"{number}.jsonl").open("ab") as file:
            file.write(LINE)
    follower.turn()
    saved: list[int] = []
    save = follower.store.save

    def count(records: Iterable[SegmentRecord]) -> None:
        records = list(records)
        saved.append(len(records))
        save(records)

    monkeypatch.setattr(follower.store, "save", count)
    for _ in range(6):
        follower.scan(31)
    assert sum(saved) >= many
    assert max(saved) <= segment_log.LAZY_AT_ONCE


def test_a_directory_that_takes_long_to_list_rests_and_is_listed_in_the_end(
    both: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_table, "LISTING_SECONDS", -1.0)
    many_files(both.traces, "a")
    both.turn()
    many_files(both.traces, "b")
    both.turn()
    assert len(both.lines) == 2 * MANY


def test_what_went_while_nobody_looked_is_a_loss_after_a_search_in_pieces(
    both: Follower, writer: Writer
) -> None:
    """Seen: a scan that had not searched everything forgot the file without a word."""
    both.sources[0] = msgspec.structs.replace(both.sources[0], protect="never")
    both.restart()
    gone = both.traces / "gone.jsonl"
    writer.append(gone, 5)
    both.turns(3)
    both.stop()
    gone.unlink()
    for number in range(MANY):
        writer.append(both.traces / f"{number}.jsonl")
    both.start()
    both.turns(12)
    assert [(loss.segment.path, loss.reason) for loss in both.losses] == [(str(gone), "gone")]
    assert both.count_lines() == Counter(writer.written)


def _copy_and_truncate(path: pathlib.Path, anew: bytes) -> None:
    shutil.copyfile(path, f"{path}.1")
    path.write_bytes(anew)


def _copy_to_another_name(path: pathlib.Path, anew: bytes) -> None:
    shutil.copyfile(path, path.with_name(f"0-{path.name}"))
    path.write_bytes(anew)


def _copy_and_replace(path: pathlib.Path, anew: bytes) -> None:
    shutil.copyfile(path, f"{path}.1")
    path.with_name("anew").write_bytes(anew)
    path.with_name("anew").rename(path)


def _compress_and_replace(path: pathlib.Path, anew: bytes) -> None:
    path.with_name(f"{path.name}.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.with_name("anew").write_bytes(anew)
    path.with_name("anew").rename(path)


def _compress_and_truncate(path: pathlib.Path, anew: bytes) -> None:
    path.with_name(f"{path.name}.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.write_bytes(anew)


def _rename(path: pathlib.Path, anew: bytes) -> None:
    path.rename(f"{path}.1")
    path.write_bytes(anew)


def _copy_where_nobody_follows(path: pathlib.Path, anew: bytes) -> None:
    shutil.copyfile(path, path.with_suffix(".bak"))
    path.write_bytes(anew)


def _move_where_nobody_follows(path: pathlib.Path, anew: bytes) -> None:
    path.rename(path.with_suffix(".bak"))
    path.write_bytes(anew)


def _compress_where_nobody_follows(path: pathlib.Path, anew: bytes) -> None:
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    path.write_bytes(anew)


def _rotate_twice(path: pathlib.Path, anew: bytes) -> None:
    lines = anew.splitlines(keepends=True)
    path.rename(f"{path}.2")
    pathlib.Path(f"{path}.1").write_bytes(b"".join(lines[:20]))
    path.write_bytes(b"".join(lines[20:]))


def _copy_and_rotate_twice(path: pathlib.Path, anew: bytes) -> None:
    lines = anew.splitlines(keepends=True)
    shutil.copyfile(path, f"{path}.2")
    pathlib.Path(f"{path}.1").write_bytes(b"".join(lines[:20]))
    path.write_bytes(b"".join(lines[20:]))


def _write_again_with_more(path: pathlib.Path, anew: bytes) -> None:
    path.with_name("anew").write_bytes(path.read_bytes() + anew)
    path.with_name("anew").rename(path)


@pytest.mark.parametrize("is_running", [True, False])
@pytest.mark.parametrize("begins_alike", [True, False])
@pytest.mark.parametrize("lines_before", [1, 40])
@pytest.mark.parametrize(
    "rotate",
    [
        _copy_and_truncate,
        _copy_to_another_name,
        _copy_and_replace,
        _compress_and_replace,
        _compress_and_truncate,
        _rename,
        _copy_where_nobody_follows,
        _move_where_nobody_follows,
        _compress_where_nobody_follows,
        _rotate_twice,
        _copy_and_rotate_twice,
        _write_again_with_more,
    ],
)
def test_many_files_that_rotate_at_once_lose_and_repeat_nothing(
    both: Follower,
    writer: Writer,
    rotate: Callable[[pathlib.Path, bytes], None],
    lines_before: int,
    *,
    begins_alike: bool,
    is_running: bool,
) -> None:
    """Seen: a copy was taken for a file of its own before its original was looked at."""
    both.sources[0] = msgspec.structs.replace(
        both.sources[0], include=(f"{both.traces}/*.jsonl", f"{both.traces}/*.jsonl.*")
    )
    both.restart()
    paths = [both.traces / f"a-{number}.jsonl" for number in range(MANY)]
    first = writer.make() if begins_alike else b""
    for path in paths:
        path.write_bytes(first + writer.make(lines_before, 200))
    both.turns(8)
    for path in paths:
        with path.open("ab") as file:
            file.write(writer.make(2, 200))
    if is_running:
        for path in paths:
            rotate(path, first + writer.make(60, 200))
    else:
        both.stop()
        for path in paths:
            rotate(path, first + writer.make(60, 200))
        both.start()
    both.turns(8)
    expected = Counter(writer.written)
    if begins_alike:
        expected[writer.written[0]] = 2 * MANY
    assert both.count_lines() == expected
    assert not both.losses


def test_files_in_many_folders_that_rotate_while_nobody_looks_are_read_once(
    both: Follower, writer: Writer
) -> None:
    """Seen: the first scan did not find an original in a folder that it had not entered yet."""
    paths = [both.traces / f"d{number}" / "a.jsonl" for number in range(MANY)]
    for path in paths:
        path.parent.mkdir()
        writer.append(path, 2)
    both.turns(8)
    both.stop()
    for path in paths:
        shutil.copyfile(path, f"{path}.1")
        path.write_bytes(b"")
    both.start()
    both.turns(8)
    assert both.count_lines() == Counter(writer.written)
    assert not both.losses


def test_a_new_file_is_compared_with_some_of_very_many_that_begin_like_it(
    both: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen: 300 files with the same first 4 KiB made scans of 5 seconds."""
    monkeypatch.setattr(continuation, "MOST_SIMILAR", 3)
    head = b'{"prompt":"%s"}\n' % (b"p" * 5000)
    for number in range(MANY):
        (both.traces / f"{number}.jsonl").write_bytes(head + b'{"n":%d}\n' % number)
    both.turns(2)
    compared: list[File] = []
    is_outdated = Verification.is_outdated

    def count(verification: Verification, file: File) -> bool:
        compared.append(file)
        return is_outdated(verification, file)

    monkeypatch.setattr(Verification, "is_outdated", count)
    (both.traces / "new.jsonl").write_bytes(head + LINE)
    both.turn()
    assert 0 < len({file.id for file in compared}) <= 3
    assert both.count_lines()[LINE.rstrip()] == 2


def test_the_original_of_a_rotated_file_is_found_among_very_many_that_begin_alike(
    both: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuation, "MOST_SIMILAR", 3)
    head = b'{"prompt":"%s"}\n' % (b"p" * 5000)
    paths = [both.traces / f"{number}.jsonl" for number in range(MANY)]
    for path in paths:
        path.write_bytes(head + writer.make(2))
    both.turns(4)
    shutil.copyfile(paths[0], f"{paths[0]}.1")
    paths[0].write_bytes(b"")
    both.turns(8)
    assert both.count_lines() == Counter([*writer.written, *[head.rstrip()] * MANY])


def test_a_file_that_is_compressed_while_it_waits_for_others_is_read_once(
    both: Follower, writer: Writer
) -> None:
    """Seen: its name was gone when its turn came, so that both it and its archive were read."""
    head = b'{"prompt":"%s"}\n' % (b"p" * 5000)
    paths = [both.traces / f"{number}.jsonl" for number in range(MANY)]
    for path in paths:
        path.write_bytes(head + writer.make(9))
    both.turns(4)
    for path in paths:
        path.write_bytes(head + writer.make(2))
    rotated = both.traces / "z.jsonl.1"
    rotated.write_bytes(head + writer.make(3))
    both.now += 1
    while not any(file.path == str(rotated) for file in both.tailer._files):
        both.take_scan()
    assert both.last.has_more
    rotated.with_name("z.jsonl.1.gz").write_bytes(gzip.compress(rotated.read_bytes()))
    rotated.unlink()
    both.turns(12)
    assert both.count_lines() == Counter([*writer.written, *[head.rstrip()] * (MANY + 1)])
