"""A missing file is forgotten by proof, not by time."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

import pytest

from tests.faults.mounts import Mounts, real_mounts
from tests.tail.follower import Follower, Writer
from tracesidecar.tail.segments import SegmentState

DAY = 24 * 3600.0
NOBODY = 65534


def states(follower: Follower) -> list[SegmentState]:
    return sorted(view.state for view in follower.tailer.segments().values())


@pytest.mark.parametrize(("protect", "state"), [("behind", "away"), ("always", "live")])
def test_a_root_that_is_missing_stops_forgetting_for_good(
    follow: Callable[..., Follower], writer: Writer, protect: str, state: str
) -> None:
    """A file that has a link goes on to be read through it."""
    follower = follow(protect=protect)
    path = follower.traces / "a.jsonl"
    writer.append(path, 10)
    follower.turns()
    aside = follower.root / "aside"
    follower.traces.rename(aside)
    follower.restart()
    follower.turns()
    follower.turn(3 * DAY)
    assert states(follower) == [state]
    aside.rename(follower.traces)
    writer.append(path, 5)
    follower.turns()
    assert follower.lines == writer.written
    assert follower.losses == []


def test_what_a_missing_root_has_is_not_reported_lost(follower: Follower, writer: Writer) -> None:
    path = follower.traces / "a.jsonl"
    follower.behind = True
    writer.append(path, 10)
    follower.turns()
    follower.stop()
    shutil.rmtree(follower.held)
    aside = follower.root / "aside"
    follower.traces.rename(aside)
    follower.start()
    follower.turns()
    assert follower.losses == []
    aside.rename(follower.traces)
    follower.behind = False
    follower.turns()
    assert follower.lines == writer.written


def test_a_root_that_is_empty_stops_forgetting_for_a_day(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(protect="behind")
    path, aside = follower.traces / "a.jsonl", follower.root / "aside"
    writer.append(path, 10)
    follower.turns()
    follower.restart()
    path.rename(aside)
    follower.turns()
    follower.turn(DAY - 60)
    assert states(follower) == ["away"]
    aside.rename(path)
    follower.turns()
    assert states(follower) == ["live"]
    path.unlink()
    follower.turns()
    follower.turn(DAY)
    follower.turns()
    assert states(follower) == []
    assert follower.lines == writer.written


def test_a_deletion_is_believed_where_other_files_are_left(
    follower: Follower, writer: Writer
) -> None:
    for name in ("a", "b"):
        writer.append(follower.traces / f"{name}.jsonl", 10)
    follower.turns()
    (follower.traces / "a.jsonl").unlink()
    follower.turns()
    assert states(follower) == ["live"]


def test_what_an_emptied_root_had_for_us_is_reported_lost_at_once(
    follower: Follower, writer: Writer
) -> None:
    follower.behind = True
    path = follower.traces / "a.jsonl"
    writer.append(path, 10)
    follower.turns()
    follower.stop()
    shutil.rmtree(follower.held)
    size = path.stat().st_size
    path.unlink()
    follower.start()
    follower.turns()
    assert [loss.lost_bytes for loss in follower.losses] == [size]


def test_a_file_that_was_restored_under_its_name_goes_on(
    follower: Follower, writer: Writer
) -> None:
    path = follower.traces / "a.jsonl"
    writer.append(path, 10)
    follower.turns()
    backup = follower.root / "backup"
    shutil.copytree(follower.traces, backup)
    shutil.rmtree(follower.traces)
    follower.restart()
    follower.turns()
    assert states(follower) == ["away"]
    shutil.copytree(backup, follower.traces)
    writer.append(path, 5)
    follower.turns()
    assert follower.lines == writer.written
    assert states(follower) == ["live"]


@pytest.fixture
def open_folder() -> Iterator[pathlib.Path]:
    """A folder that another user can reach."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="away-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("is_root", [True, False])
def test_a_directory_that_cannot_be_listed_proves_nothing(
    open_folder: pathlib.Path, writer: Writer, *, is_root: bool
) -> None:
    for name in ("traces", "traces/below", "held"):
        (open_folder / name).mkdir()
        os.chown(open_folder / name, NOBODY, NOBODY)
    other = open_folder / "traces" / "other.jsonl"
    path = open_folder / "traces" / "below" / "a.jsonl"
    os.seteuid(NOBODY)
    try:
        follower = Follower(open_folder)
        writer.append(path, 10)
        writer.append(other, 1)
        follower.turns()
        follower.stop()
        aside = open_folder / "held" / "aside"
        path.rename(aside)
        follower.start()
        follower.turn()
        locked = follower.traces if is_root else path.parent
        locked.chmod(0o300)
        follower.turns(12)
        locked.chmod(0o700)
        aside.rename(path)
        writer.append(path, 5)
        follower.turns()
        follower.stop()
    finally:
        os.seteuid(0)
    assert sorted(follower.lines) == sorted(writer.written)


@pytest.fixture
def mounts(tmp_path: pathlib.Path) -> Iterator[Mounts]:
    with real_mounts(tmp_path) as mounts:
        yield mounts


def test_a_root_whose_server_is_gone_is_waited_for(
    follow: Callable[..., Follower], writer: Writer, mounts: Mounts
) -> None:
    follower = follow()
    path = follower.traces / "a.jsonl"
    writer.append(path, 10)
    follower.turns()
    follower.stop()
    mounts.dead(follower.traces)
    with pytest.raises(OSError, match="Transport endpoint is not connected"):
        os.listdir(follower.traces)
    follower.start()
    follower.turns()
    follower.turn(3 * DAY)
    mounts.remove(follower.traces)
    writer.append(path, 5)
    follower.turns()
    assert follower.lines == writer.written
    assert follower.losses == []


def test_a_renumbered_file_system_is_recognized_by_its_files_and_then_proves_deletions(
    follow: Callable[..., Follower], writer: Writer, mounts: Mounts
) -> None:
    follower = follow()
    place = follower.root / "place"
    mounts.tmpfs(place)
    mounts.bind(place, follower.traces)
    for name in ("kept", "deleted"):
        writer.append(follower.traces / f"{name}.jsonl", 10)
    follower.turns()
    follower.stop()
    mounts.remove(follower.traces)
    copy = follower.root / "copy"
    mounts.tmpfs(copy)
    for name in ("kept", "deleted"):
        shutil.copyfile(place / f"{name}.jsonl", copy / f"{name}.jsonl")
    (copy / "deleted.jsonl").unlink()
    mounts.bind(copy, follower.traces)
    follower.start()
    follower.turns()
    assert states(follower) == ["live"]
    assert sorted(follower.lines) == sorted(writer.written)
