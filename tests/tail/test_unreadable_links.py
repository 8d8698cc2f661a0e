"""A file that only its hard link still leads to, and that cannot be opened, waits until it can."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.tail.follower import Follower, Writer

pytestmark = pytest.mark.usefixtures("unprivileged")


def _leave(follower: Follower, path: Path, way: str) -> Path:
    """Take the name of a file away; return one under which it is found, perhaps our link."""
    if way == "deleted":
        path.unlink()
        [link] = follower.held.iterdir()
        return link
    outside = follower.root / "outside"
    return path.rename(outside)


@pytest.mark.parametrize("way", ["moved out", "deleted"])
@pytest.mark.parametrize("has_grown", [True, False])
@pytest.mark.parametrize("is_delivered", [True, False])
def test_a_file_that_became_unreadable_and_left_is_read_once_it_is_readable(
    follower: Follower, writer: Writer, way: str, has_grown: bool, is_delivered: bool
) -> None:
    path = follower.traces / "a.jsonl"
    writer.append(path, 3)
    follower.behind = not is_delivered
    follower.turns(2)
    follower.tailer._open_files.close()
    if has_grown:
        writer.append(path, 2)
    path.chmod(0)
    left = _leave(follower, path, way)
    follower.behind = False
    follower.turns(10)
    follower.restart()
    follower.turns(10)
    if has_grown or not is_delivered:
        assert [view.is_directory for view in follower.tailer.list_unreadable()] == [False]
        left.chmod(0o600)
    follower.turns(2)
    assert follower.count_lines() == Counter(writer.written)
    assert follower.losses == []


@pytest.mark.parametrize("way", ["moved out", "deleted"])
def test_a_link_that_cannot_be_seen_for_a_while_is_not_gone(
    follower: Follower, writer: Writer, way: str
) -> None:
    """The process may have no descriptor left, or the folder may be closed."""
    path = follower.traces / "a.jsonl"
    writer.append(path, 3)
    follower.behind = True
    follower.turns(2)
    follower.tailer._open_files.close()
    _leave(follower, path, way)
    follower.held.chmod(0)
    follower.turns(10)
    follower.held.chmod(0o700)
    follower.behind = False
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert follower.losses == []


def test_a_deleted_file_whose_link_was_removed_by_somebody_is_lost_at_once(
    follower: Follower, writer: Writer
) -> None:
    path = follower.traces / "a.jsonl"
    writer.append(path, 3)
    follower.behind = True
    follower.turns(2)
    path.unlink()
    follower.turns(2)
    for link in follower.held.iterdir():
        link.unlink()
    follower.tailer._open_files.close()
    follower.turns(10)
    assert [loss.reason for loss in follower.losses] == ["deleted"]


def test_a_name_that_cannot_be_looked_up_is_not_gone(follower: Follower, writer: Writer) -> None:
    folder = follower.traces / "a"
    folder.mkdir()
    writer.append(folder / "a.jsonl", 3)
    follower.behind = True
    follower.turns(2)
    follower.tailer._open_files.close()
    folder.chmod(0)
    follower.held.chmod(0)
    follower.turns(10)
    folder.chmod(0o700)
    follower.held.chmod(0o700)
    follower.behind = False
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert follower.losses == []
