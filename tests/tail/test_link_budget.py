"""Hard links keep no more of a source than its budget; what has no room waits, and says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.tail.follower import Follower
from tracesidecar.tail.options import SourceLimits
from tracesidecar.units import Size


def lines(name: str, count: int) -> bytes:
    """So many lines of 100 bytes that no other file has."""
    return (b'{"text":"' + name.encode() * 88 + b'"}\n') * count


@pytest.fixture
def follower(follow: Callable[..., Follower]) -> Follower:
    follower = follow(limits=SourceLimits(held=Size(1000)))
    follower.behind = True
    return follower


def list_linked(follower: Follower) -> set[str]:
    return {
        view.segment.path.rpartition("/")[2]
        for view in follower.tailer.segments().values()
        if view.protection == "link"
    }


def test_what_has_no_room_is_linked_once_the_sinks_have_caught_up(follower: Follower) -> None:
    for name in "abcd":
        (follower.traces / f"{name}.jsonl").write_bytes(lines(name, 4))
        follower.turn()
    assert list_linked(follower) == {"a.jsonl", "b.jsonl"}
    (limit,) = follower.last.limits
    assert (limit.limit, limit.used, limit.allowed, limit.waiting) == ("held", 800, 1000, 2)
    assert limit.path == str(follower.traces / "c.jsonl")
    for path in follower.traces.iterdir():
        path.unlink()
    follower.turns(12)
    assert [(loss.reason, loss.size) for loss in follower.losses] == [("deleted", 400)] * 2
    assert follower.last.held_bytes == 800
    (follower.traces / "e.jsonl").write_bytes(lines("e", 4))
    follower.turn()
    assert [each.limit for each in follower.last.limits] == ["held"]
    follower.behind = False
    follower.turns(12)
    assert len(follower.lines) == 12
    assert follower.last.limits == ()
    follower.turn(61)
    assert list_linked(follower) == {"e.jsonl"}  # as every file of the last day


def test_the_budget_holds_over_a_restart_and_goes_with_a_higher_one(follower: Follower) -> None:
    for name in "abc":
        (follower.traces / f"{name}.jsonl").write_bytes(lines(name, 4))
        follower.turn()
    follower.restart()
    follower.turns(2)
    assert list_linked(follower) == {"a.jsonl", "b.jsonl"}
    assert [each.waiting for each in follower.last.limits] == [1]
    follower.sources[0] = type(follower.sources[0])(
        name="agent", include=follower.sources[0].include, limits=SourceLimits(held=Size(2000))
    )
    follower.restart()
    follower.turns(2)
    assert list_linked(follower) == {"a.jsonl", "b.jsonl", "c.jsonl"}
    assert follower.last.limits == ()


def test_a_delivered_file_makes_room_for_one_that_is_not(follower: Follower) -> None:
    follower.behind = False
    (follower.traces / "a.jsonl").write_bytes(lines("a", 8))
    follower.turns(2)
    assert list_linked(follower) == {"a.jsonl"}
    follower.behind = True
    (follower.traces / "b.jsonl").write_bytes(lines("b", 8))
    follower.turns(2)
    assert list_linked(follower) == {"b.jsonl"}
    assert follower.last.limits == ()
