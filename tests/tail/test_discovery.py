"""Which files are read: globs, symlinks, special files, odd names, unreadable files, many files."""

from __future__ import annotations

import errno
import os
import pathlib
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from tests.tail.follower import Follower, MemoryStore, Writer, descriptors
from tracesidecar.tail.glob import Exclusions, GlobPattern
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import SegmentRecord


@pytest.mark.parametrize(
    ("glob", "path", "is_match"),
    [
        ("/a/*.jsonl", "/a/x.jsonl", True),
        ("/a/*.jsonl", "/a/b/x.jsonl", False),
        ("/a/**/*.jsonl", "/a/x.jsonl", True),
        ("/a/**/*.jsonl", "/a/b/c/x.jsonl", True),
        ("/a/**/*.jsonl", "/a/b/c/x.json", False),
        ("/a/**/t/**/*.jsonl", "/a/b/t/x.jsonl", True),
        ("/a/**/t/**/*.jsonl", "/a/b/u/x.jsonl", False),
        ("/a/**", "/a/b/c", True),
        ("/a/*/t/*.jsonl", "/a/b/t/x.jsonl", True),
        ("/a/*/t/*.jsonl", "/a/t/x.jsonl", False),
        ("/a/x.jsonl", "/a/x.jsonl", True),
        ("/a/[xy]?.jsonl", "/a/y1.jsonl", True),
        ("/a/*.jsonl", "/a/new\nline.jsonl", True),
        ("/a/./b/../*.jsonl", "/a/x.jsonl", True),
    ],
)
def test_globs_match_as_a_shell_would(glob: str, path: str, is_match: bool) -> None:
    assert GlobPattern.parse(glob).reaches(path) is is_match


@pytest.mark.parametrize(
    ("exclude", "path", "is_excluded"),
    [
        ("**/history.jsonl", "/a/history.jsonl", True),
        ("history.jsonl", "/a/b/history.jsonl", True),
        ("**/history.jsonl", "/a/my-history.jsonl", False),
        ("/a/b/**", "/a/b/c/x.jsonl", True),
        ("**/node_modules/**", "/a/node_modules/b/x.jsonl", True),
        ("/a/*.jsonl", "/a/b/x.jsonl", False),
    ],
)
def test_exclusions_match_whole_paths(exclude: str, path: str, is_excluded: bool) -> None:
    assert (path in Exclusions([exclude])) is is_excluded


def test_existing_files_and_new_files_in_new_directories_are_read(
    follower: Follower, writer: Writer
) -> None:
    for name in ("a", "b", "c"):
        writer.append(follower.traces / f"{name}.jsonl", 3)
    follower.turn()
    below = follower.traces / "x" / "y"
    below.mkdir(parents=True)
    writer.append(below / "d.jsonl", 3)
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)


def test_excluded_and_other_names_are_never_opened(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(exclude=("**/history.jsonl",))
    for name in ("a.jsonl", "history.jsonl", "notes.txt"):
        writer.append(follower.traces / name, 1)
    follower.turn()
    assert len(follower.lines) == 1
    assert descriptors(follower.traces) == [str(follower.traces / "a.jsonl")]


def test_a_file_of_one_short_line_is_read(follower: Follower) -> None:
    (follower.traces / "a.jsonl").write_bytes(b'{"n": 1, "s": "abc"}\n')
    follower.turn()
    assert follower.lines == [b'{"n": 1, "s": "abc"}']


def test_an_empty_file_is_nothing_until_it_is_filled(follower: Follower, writer: Writer) -> None:
    a = follower.traces / "a.jsonl"
    a.touch()
    follower.turns(3)
    assert (follower.last.changed, len(follower.tailer.segments())) == ((), 0)
    writer.append(a)
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)


def test_a_hundred_files_with_the_same_beginning_are_all_read(
    follower: Follower, writer: Writer
) -> None:
    head = writer.make(5, 1000)
    writer.written.clear()
    for number in range(100):
        (follower.traces / f"{number}.jsonl").write_bytes(head + writer.make(2))
        if number % 10 == 0:
            follower.turn(0.1)
    follower.turns()
    assert sum(follower.count_lines().values()) == 100 * 7
    assert not Counter(writer.written) - follower.count_lines()


@pytest.mark.parametrize("symlinks", ["same_owner", "follow"])
def test_a_symlink_is_followed_once_and_its_new_target_too(
    follow: Callable[..., Follower], writer: Writer, symlinks: str
) -> None:
    follower = follow(symlinks=symlinks)
    outside = follower.root / "outside"
    outside.mkdir()
    link = follower.traces / "current.jsonl"
    writer.append(outside / "one", 3)
    link.symlink_to(outside / "one")
    (follower.traces / "again.jsonl").symlink_to(outside / "one")
    follower.turn()
    writer.append(outside / "one", 3)
    link.unlink()
    writer.append(outside / "two", 3)
    link.symlink_to(outside / "two")
    follower.turns(2)
    writer.append(outside / "one", 3)
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)


@pytest.mark.parametrize("symlinks", ["never", "same_owner", "follow"])
def test_symlink_loops_are_not_followed_and_linked_directories_are_read_once(
    follow: Callable[..., Follower], writer: Writer, symlinks: str
) -> None:
    follower = follow(symlinks=symlinks)
    below = follower.traces / "below"
    below.mkdir()
    (below / "up").symlink_to(follower.traces)
    (follower.traces / "a-link").symlink_to(below)
    (follower.traces / "dangling.jsonl").symlink_to("nowhere")
    (follower.traces / "self.jsonl").symlink_to("self.jsonl")
    writer.append(below / "a.jsonl", 3)
    writer.append(follower.traces / "b.jsonl", 3)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert {
        pathlib.Path(view.segment.path).name for view in follower.tailer.segments().values()
    } == {"a.jsonl", "b.jsonl"}


def test_fifos_sockets_devices_and_directories_are_reported_once_and_not_read(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(symlinks="follow")
    os.mkfifo(follower.traces / "fifo.jsonl")
    (follower.traces / "directory.jsonl").mkdir()
    (follower.traces / "device.jsonl").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.getcwd()
        os.chdir(follower.traces)
        listener.bind("socket.jsonl")
        os.chdir(before)
        writer.append(follower.traces / "a.jsonl")
        follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert {pathlib.Path(warning.path).name for warning in follower.warnings} == {
        "fifo.jsonl",
        "socket.jsonl",
        "device.jsonl",
    }
    assert (len(follower.warnings), follower.last.not_regular) == (3, 3)


def test_a_hard_link_of_a_watched_file_is_read_once(follower: Follower, writer: Writer) -> None:
    a, b = follower.traces / "a.jsonl", follower.traces / "b.jsonl"
    writer.append(a, 3)
    follower.turn()
    os.link(a, b)
    follower.turn()
    writer.append(b, 3)
    follower.turn()
    a.unlink()
    writer.append(b, 3)
    follower.turns()
    assert follower.count_lines() == Counter(writer.written)


@pytest.mark.parametrize(
    "name", [b"with space", b"new\nline", b"-dash", b"\xff\xfe", "ünïcode".encode(), b"n" * 249]
)
def test_odd_names_are_read(follower: Follower, writer: Writer, name: bytes) -> None:
    path = os.path.join(os.fsencode(follower.traces), name + b".jsonl")
    with open(path, "wb") as file:
        file.write(writer.make(3))
    follower.turn()
    follower.restart()
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)
    assert [os.fsencode(view.segment.path) for view in follower.tailer.segments().values()] == [
        path
    ]


def test_a_file_that_two_sources_match_belongs_to_the_first(
    follower: Follower, writer: Writer
) -> None:
    follower.sources = [
        SourceOptions(name="second-root", include=(f"{follower.traces}/x/*.jsonl",)),
        SourceOptions(name="all", include=(f"{follower.traces}/**/*.jsonl",)),
    ]
    follower.restart()
    (follower.traces / "x").mkdir()
    writer.append(follower.traces / "x" / "a.jsonl")
    writer.append(follower.traces / "b.jsonl")
    follower.turn()
    assert {
        view.segment.source
        for view in follower.tailer.segments().values()
        if view.segment.path.endswith("a.jsonl")
    } == {"second-root"}
    assert follower.count_lines() == Counter(writer.written)


@pytest.mark.usefixtures("unprivileged")
def test_an_unreadable_file_is_reported_once_and_read_when_it_is_readable(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    a.chmod(0)
    follower.turns(5)
    assert ([warning.kind for warning in follower.warnings], follower.lines) == (["unreadable"], [])
    a.chmod(0o600)
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)


@pytest.mark.usefixtures("unprivileged")
def test_an_unreadable_directory_is_reported_once_and_read_when_it_is_readable(
    follower: Follower, writer: Writer
) -> None:
    below = follower.traces / "below"
    below.mkdir()
    writer.append(below / "a.jsonl", 3)
    below.chmod(0)
    follower.turns(5)
    assert [warning.kind for warning in follower.warnings] == ["unreadable"]
    below.chmod(0o700)
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)


def test_a_directory_that_vanishes_and_returns_is_read_again(
    follower: Follower, writer: Writer
) -> None:
    away = follower.root / "away"
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turn()
    follower.traces.rename(away)
    follower.turns(3)
    away.rename(follower.traces)
    writer.append(follower.traces / "a.jsonl", 3)
    writer.append(follower.traces / "b.jsonl", 3)
    follower.turns()
    assert follower.count_lines() == Counter(writer.written)


def test_a_root_that_does_not_exist_yet_is_found_later(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, writer: Writer
) -> None:
    follower = follow(include=(f"{tmp_path}/later/x/**/*.jsonl",))
    follower.turns(2)
    (tmp_path / "later" / "x").mkdir(parents=True)
    writer.append(tmp_path / "later" / "x" / "a.jsonl")
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)


FIVE_HUNDRED_FILES = """
import pathlib, resource, sys
from collections import Counter
from tests.tail.follower import Follower, Writer

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
follower, writer = Follower(pathlib.Path(sys.argv[1])), Writer()
for turn in range(3):
    for number in range(500):
        writer.append(follower.traces / f"{number}.jsonl")
    if turn == 1:
        follower.restart()
    follower.turn()
assert follower.count_lines() == Counter(writer.written)
assert len(follower.store.records) == 500
"""


def test_five_hundred_files_are_read_with_64_descriptors(tmp_path: pathlib.Path) -> None:
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FIVE_HUNDRED_FILES, tmp_path],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


FEW_DESCRIPTORS = """
import os, pathlib, resource, sys
from collections import Counter
from tests.tail.follower import Follower, Writer

follower, writer = Follower(pathlib.Path(sys.argv[1])), Writer()
resource.setrlimit(resource.RLIMIT_NOFILE, (24, 64))
for number in range(30):
    writer.append(follower.traces / f"{number}.jsonl")
follower.turn()
assert follower.count_lines() == Counter(writer.written)
free = 24 - len(os.listdir("/proc/self/fd"))
assert free >= 10, free
"""


def test_files_that_are_open_leave_descriptors_for_the_sinks(tmp_path: pathlib.Path) -> None:
    """With 40 of them, a `directory` sink was refused its file for ever."""
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FEW_DESCRIPTORS, tmp_path],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_source_keeps_its_segments_for_when_it_returns(
    follower: Follower, writer: Writer
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    follower.turn()
    sources, follower.sources = (
        follower.sources,
        [SourceOptions(name="other", include=(f"{follower.root}/nothing/*",))],
    )
    follower.restart()
    follower.turns()
    follower.sources = sources
    writer.append(a, 3)
    follower.restart()
    follower.turns()
    assert follower.count_lines() == Counter(writer.written)


class FullStore(MemoryStore):
    """A store whose disk is full for a while."""

    is_full = False

    def save(self, records: Iterable[SegmentRecord]) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left")
        super().save(records)


def test_what_a_scan_found_and_could_not_save_is_returned_by_the_next_one(
    follower: Follower, writer: Writer
) -> None:
    store = follower.store = FullStore()
    follower.restart()
    writer.append(follower.traces / "a.jsonl", 3)
    store.is_full = True
    with pytest.raises(OSError, match="no space left"):
        follower.scan()
    store.is_full = False
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)
