"""A scan does a bounded share of each source, so that none waits for the files of another."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import pytest

from tests.tail.follower import Follower, Writer
from tracesidecar.tail import turns
from tracesidecar.tail.discovery import walk
from tracesidecar.tail.options import SourceOptions
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


def test_a_directory_that_takes_long_to_list_rests_and_is_listed_in_the_end(
    both: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "LISTING_SECONDS", -1.0)
    many_files(both.traces, "a")
    both.turn()
    many_files(both.traces, "b")
    both.turn()
    assert len(both.lines) == 2 * MANY
