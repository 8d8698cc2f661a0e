"""Sources take turns by what they cost, so that none waits for the files or bytes of another."""

from __future__ import annotations

from tracesidecar.pipeline.fair_queue import FairQueue

MIB = 1 << 20


def turns(queue: FairQueue, good: int, size: int) -> int:
    """Take turns until the good segment has its own; return how many others came before."""
    for before in range(100_000):
        segment, since = queue.pop()
        if segment == good:
            return before
        queue.charge(segment, size)
        queue.add(segment, since)
    raise AssertionError("the good segment has no turn")


def test_a_line_of_a_good_source_does_not_wait_behind_80_000_files_of_another() -> None:
    queue = FairQueue()
    for segment in range(80_000):
        queue.add(segment, 1.0, "hostile")
    for _ in range(20):
        queue.charge(queue_turn(queue), 100)
    queue.add(90_000, 2.0, "good")
    assert turns(queue, 90_000, 100) <= 1


def queue_turn(queue: FairQueue) -> int:
    segment, since = queue.pop()
    queue.add(segment, since)
    return segment


def test_many_small_files_of_a_good_source_do_not_wait_for_a_large_one_each_time() -> None:
    queue = FairQueue()
    queue.add(0, 1.0, "hostile")
    for segment in range(1, 33):
        queue.add(segment, 1.0, "good")
    large = 0
    left = 32
    while left:
        segment, since = queue.pop()
        queue.charge(segment, MIB if segment == 0 else 1000)
        if segment == 0:
            large += 1
            queue.add(segment, since)
        else:
            left -= 1
    assert large <= 2  # 32 turns cost as much as one MiB


def test_a_source_that_had_nothing_to_read_has_saved_nothing_up() -> None:
    queue = FairQueue()
    queue.add(1, 1.0, "busy")
    for _ in range(100):
        queue.charge(queue_turn(queue), MIB)
    queue.add(2, 1.0, "idle")
    queue.add(3, 1.0, "idle")
    order = [queue_turn(queue) for _ in range(8)]
    assert order.count(1) >= 3


def test_within_a_source_the_first_is_the_first() -> None:
    queue = FairQueue()
    for segment in (3, 1, 2):
        queue.add(segment, float(segment), "one")
    assert [queue.pop() for _ in range(3)] == [(3, 3.0), (1, 1.0), (2, 2.0)]
    assert not queue.sources
    assert queue.since(3) is None
    queue.add(3, 9.0)
    assert 3 in queue


def test_of_sources_that_have_cost_the_same_the_one_that_joins_comes_first() -> None:
    queue = FairQueue()
    queue.add(1, 0.0, "hostile")
    for _ in range(3):
        segment, since = queue.pop()
        queue.charge(segment, 1 << 20)
        queue.add(segment, since)
    queue.add(2, 0.0, "good")
    assert queue.pop() == (2, 0.0)
