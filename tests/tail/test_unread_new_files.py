"""A file of which nothing could ever be read is kept, and is lost only when its bytes are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tail.follower import Follower, Writer
from tracesidecar.tail.options import SourceLimits
from tracesidecar.tail.segments import Loss
from tracesidecar.units import Size

pytestmark = pytest.mark.usefixtures("unprivileged")


def write_unreadable(follower: Follower, writer: Writer, name: str = "u.jsonl") -> Path:
    """Write a file that nobody may read, and let scans meet it."""
    path = follower.traces / name
    writer.append(path, 5)
    path.chmod(0)
    follower.turns(2)
    return path


def list_unread(follower: Follower) -> list[tuple[str, int]]:
    """Name and size of each file that cannot be read."""
    return [(Path(file.segment.path).name, file.size) for file in follower.tailer.list_unread()]


def describe(losses: list[Loss]) -> list[tuple[str, int]]:
    return [(loss.reason, loss.lost_bytes) for loss in losses]


@pytest.mark.parametrize("way", ["deleted", "moved out", "replaced", "folder deleted"])
@pytest.mark.parametrize("end", ["", "restart", "kill"])
@pytest.mark.parametrize("protect", ["always", "behind"])
def test_a_new_file_that_cannot_be_read_and_left_is_read_once_it_can_be(
    follow: Callable[..., Follower], writer: Writer, way: str, end: str, protect: str
) -> None:
    follower = follow(protect=protect)
    (follower.traces / "sub").mkdir()
    name = "sub/u.jsonl" if way == "folder deleted" else "u.jsonl"
    path = write_unreadable(follower, writer, name)
    size = path.stat().st_size
    [link] = follower.held.iterdir()
    if way == "moved out":
        path.rename(follower.root / "outside")
    elif way == "replaced":
        other = follower.root / "other"
        writer.append(other, 2)
        other.rename(path)
    else:
        path.unlink()
        if way == "folder deleted":
            path.parent.rmdir()
    follower.turns(10)
    if end:
        getattr(follower, end)()
        follower.turns(10)
    assert (list_unread(follower), follower.losses) == ([("u.jsonl", size)], [])
    assert follower.last.held_bytes == (0 if way == "moved out" else size)
    link.chmod(0o600)
    follower.turns(3)
    assert (list_unread(follower), follower.losses) == ([], [])
    assert follower.count_lines() == Counter(writer.written)
    follower.turns(20)
    assert not link.exists()
    assert follower.last.held_bytes == 0


def test_a_new_file_is_read_at_the_place_to_which_it_was_moved(
    follower: Follower, writer: Writer
) -> None:
    path = write_unreadable(follower, writer)
    follower.turns(10)
    aside = path.rename(follower.traces / "u.done")
    follower.turns(10)
    assert follower.losses == []
    aside.chmod(0o600)
    follower.turns(3)
    writer.append(aside, 2)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)


def test_a_new_file_that_nothing_may_keep_is_lost_as_soon_as_it_is_gone(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(protect="never")
    path = write_unreadable(follower, writer)
    size = path.stat().st_size
    assert list(follower.held.iterdir()) == []
    assert list_unread(follower) == [("u.jsonl", size)]
    path.unlink()
    follower.turns(10)
    assert describe(follower.losses) == [("unreadable", size)]
    assert list_unread(follower) == []


def test_a_new_file_whose_link_somebody_removed_is_lost(follower: Follower, writer: Writer) -> None:
    path = write_unreadable(follower, writer)
    size = path.stat().st_size
    path.unlink()
    follower.turns(10)
    [link] = follower.held.iterdir()
    link.unlink()
    follower.turns(2)
    assert describe(follower.losses) == [("unreadable", size)]


def test_unreadable_files_are_kept_within_the_budget_of_their_source(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(limits=SourceLimits(held=Size(1000)))
    sizes = {}
    for number in range(8):
        path = follower.traces / f"{number}.jsonl"
        writer.append(path, 5)
        path.chmod(0)
        sizes[path] = path.stat().st_size
    follower.turns(5)
    kept = sum(link.stat().st_size for link in follower.held.iterdir())
    assert 0 < kept <= 1000
    (limit,) = follower.last.limits
    assert (limit.limit, limit.waiting) == ("held", 8 - len(list(follower.held.iterdir())))
    for path in sizes:
        path.unlink()
    follower.turns(10)
    assert sum(loss.lost_bytes for loss in follower.losses) == sum(sizes.values()) - kept
    for link in follower.held.iterdir():
        link.chmod(0o600)
    follower.turns(20)
    assert sum(len(line) + 1 for line in follower.lines) == kept
    assert follower.last.limits == ()


def test_an_unreadable_file_waits_for_room_and_gets_it(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(limits=SourceLimits(held=Size(1000)))
    follower.behind = True
    full = follower.traces / "full.jsonl"
    writer.append(full, 14)
    follower.turns(2)
    path = write_unreadable(follower, writer)
    assert [link.name.endswith("full.jsonl") for link in follower.held.iterdir()] == [True]
    follower.behind = False
    full.unlink()
    follower.turns(10)
    [link] = follower.held.iterdir()
    assert link.samefile(path)
    path.unlink()
    follower.turns(10)
    link.chmod(0o600)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert follower.losses == []


def test_a_link_that_was_set_aside_and_cannot_be_read_is_read_once_it_can_be(
    follower: Follower, writer: Writer
) -> None:
    """An earlier version set aside what it could not read, and recorded a loss."""
    follower.stop()
    aside = follower.held / "unknown"
    aside.mkdir()
    name = f"segment-77:agent:{str(follower.traces).replace('/', '+')}+u.jsonl"
    writer.append(aside / name, 5)
    (aside / name).chmod(0)
    size = (aside / name).stat().st_size
    follower.start()
    follower.turn()
    assert follower.last.recovered == (77,)
    follower.turns(10)
    assert list_unread(follower) == [("u.jsonl", size)]
    assert follower.last.held_bytes == size
    (follower.held / name).chmod(0o600)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert follower.losses == []


@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_in_a_folder_that_was_closed_is_read_through_its_link(
    follower: Follower, writer: Writer, is_new: bool
) -> None:
    folder = follower.traces / "closed"
    folder.mkdir()
    path = folder / "a.jsonl"
    writer.append(path, 3)
    if is_new:
        path.chmod(0)
    follower.turns(2)
    with path.open("ab") if not is_new else (folder / "other").open("ab") as agent:
        folder.chmod(0)
        if is_new:
            [link] = follower.held.iterdir()
            link.chmod(0o600)
        else:
            agent.write(writer.make(2))
            agent.flush()
        follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    folder.chmod(0o700)
    follower.turns(3)
    assert follower.count_lines() == Counter(writer.written)
    assert follower.losses == []


@pytest.mark.parametrize("end", ["", "restart"])
def test_the_unread_rest_of_a_file_that_was_replaced_is_not_taken_for_read(
    follower: Follower, writer: Writer, end: str
) -> None:
    """The new file may have that rest or not: it is read as another version, which is announced."""
    path = follower.traces / "a.jsonl"
    writer.append(path, 3)
    follower.turns(5)
    follower.tailer._open_files.close()
    before = path.read_bytes()
    writer.append(path, 2)
    path.chmod(0)
    follower.turns(2)
    other = follower.root / "other"
    other.write_bytes(before + writer.make(4))
    other.rename(path)
    follower.turns(10)
    if end:
        getattr(follower, end)()
        follower.turns(10)
    assert Counter(follower.lines) == Counter(writer.written[:3] * 2 + writer.written[5:])
    [link] = [link for link in follower.held.iterdir() if not link.samefile(path)]
    link.chmod(0o600)
    follower.turns(3)
    assert Counter(follower.lines) == Counter(writer.written[:3] + writer.written)
    assert follower.losses == []


def test_what_was_read_since_the_last_look_at_a_file_is_not_unread(
    follower: Follower, writer: Writer
) -> None:
    path = follower.traces / "a.jsonl"
    writer.append(path, 3)
    follower.turns(2)
    writer.append(path, 2)
    follower.read()
    follower.tailer._log.save(*follower.tailer._files)
    follower.stop()
    [record] = follower.store.records.values()
    assert (record.is_unread, record.size < path.stat().st_size) == (False, True)
    follower.start()
    follower.turns(2)
    assert follower.count_lines() == Counter(writer.written)
