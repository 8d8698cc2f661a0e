"""What keeps unsent bytes alive: hard links where they are possible, descriptors otherwise, and a
limit that alarms.
"""

from __future__ import annotations

import os
import pathlib
from collections import Counter
from collections.abc import Callable

import pytest

from tests.tail.follower import Follower, Writer


def protections(follower: Follower) -> set[str]:
    return {view.protection for view in follower.collector.segments().values()}


def test_an_unfinished_file_has_a_link_and_a_finished_one_has_none(
    follower: Follower, writer: Writer
) -> None:
    writer.append(follower.traces / "a.jsonl", 3)
    follower.scan()
    assert (protections(follower), len(os.listdir(follower.held))) == ({"link"}, 1)
    follower.read()
    assert (protections(follower), os.listdir(follower.held)) == ({"descriptor"}, [])


def test_links_may_be_held_in_a_directory_of_the_source(
    follow: Callable[..., Follower], tmp_path: pathlib.Path, writer: Writer
) -> None:
    hold = tmp_path / "traces" / ".held"
    follower = follow(hold_directory=str(hold), include=(f"{tmp_path}/traces/**",))
    follower.behind = True
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turns(3)
    assert len(list(hold.iterdir())) == 1
    (follower.traces / "a.jsonl").unlink()
    follower.restart()
    follower.turns()
    follower.behind = False
    follower.turns()
    assert follower.counted() == Counter(writer.written)
    assert list(hold.iterdir()) == []


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second file system")
def test_across_mounts_the_descriptor_is_the_protection(
    follow: Callable[..., Follower],
    tmp_path: pathlib.Path,
    writer: Writer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    elsewhere = pathlib.Path("/dev/shm") / f"collect-{os.getpid()}"
    elsewhere.mkdir()
    try:
        follower = follow(include=(f"{elsewhere}/*.jsonl",))
        follower.behind = True
        writer.append(elsewhere / "a.jsonl", 30)
        follower.turn()
        assert protections(follower) == {"descriptor"}
        (elsewhere / "a.jsonl").unlink()
        follower.turns()
        follower.behind = False
        follower.turns()
        assert follower.counted() == Counter(writer.written)
    finally:
        for path in elsewhere.iterdir():
            path.unlink()
        elsewhere.rmdir()


def test_more_held_than_the_limit_alarms_and_keeps(follower: Follower, writer: Writer) -> None:
    follower.stop()
    follower.limit = 1000
    follower.start()
    follower.behind = True
    for number in range(20):
        writer.append(follower.traces / f"{number}.jsonl", 10)
    follower.turn()
    for number in range(20):
        (follower.traces / f"{number}.jsonl").unlink()
    follower.turns()
    assert [warning.kind for warning in follower.warnings] == ["held_limit"]
    assert follower.last.held_bytes > 1000
    follower.behind = False
    follower.turns()
    assert follower.counted() == Counter(writer.written)
    assert (follower.last.held_bytes, follower.last.files) == (0, 0)


def test_links_that_no_segment_needs_are_removed_at_start(follower: Follower) -> None:
    follower.stop()
    stray = follower.held / "segment-12345"
    stray.write_bytes(b"")
    foreign = follower.held / "README"
    foreign.write_bytes(b"")
    follower.start()
    assert (stray.exists(), foreign.exists()) == (False, True)


def test_a_loss_is_reported_until_it_is_acknowledged(follower: Follower, writer: Writer) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    follower.behind = True
    follower.turn()
    follower.stop()
    for path in [a, *follower.held.iterdir()]:
        path.unlink()
    follower.start()
    settled, follower.collector.settled = follower.collector.settled, lambda segment, offset: None  # type: ignore[method-assign]
    follower.turns()
    assert [loss.lost_bytes for loss in follower.losses] == [follower.losses[0].size]
    follower.collector.settled = settled  # type: ignore[method-assign]
    follower.restart()
    follower.turns()
    follower.restart()
    follower.turns()
    assert len(follower.losses) == 2
    assert follower.store.records == {}
