"""How much of each source one scan does, by a clock of the test's own."""

from __future__ import annotations

import pytest

from tracesidecar.tail.turns import ALONE, LEAST, TURN_SECONDS, Turns, Work


class Clock:
    """Stands still unless somebody works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def take_all(turns: Turns, clock: Clock, source: int, seconds: float) -> int:
    """Return how many new files a source gets that take so long each until they are met."""
    taken = 0
    while turns.take(source, "new"):
        clock.now += seconds
        taken += 1
    return taken


def test_the_source_that_has_cost_least_comes_first() -> None:
    clock = Clock()
    turns = Turns(2, clock)
    assert turns.order({0, 1}) == [0, 1]
    turns.begin(is_bounded=True)
    many = take_all(turns, clock, 0, 0.001)
    assert turns.take(1, "new"), "each source has a least share"
    turns.begin(is_bounded=True)
    assert turns.order({0, 1}) == [1, 0]
    assert take_all(turns, clock, 1, 0.001) >= many, "and all the time there is in the next scan"


def test_no_more_new_files_are_met_than_there_is_time_to_decide_about() -> None:
    clock = Clock()
    turns = Turns(2, clock)
    for _ in range(20):
        turns.begin(is_bounded=True)
        taken = take_all(turns, clock, 0, 0.0001)
        turns.note_decided(taken, taken * 0.0019)
    assert TURN_SECONDS <= taken * 0.002 <= TURN_SECONDS + (LEAST + 1) * 0.002
    turns.begin(is_bounded=False)
    assert all(turns.take(0, "new") for _ in range(1000)), "a drain looks at everything"


def test_a_scan_of_a_single_source_has_more_time() -> None:
    taken = {}
    for sources in (1, 2):
        clock = Clock()
        turns = Turns(sources, clock)
        turns.begin(is_bounded=True)
        taken[sources] = 0
        while turns.take(0, "known"):
            clock.now += TURN_SECONDS / 10
            taken[sources] += 1
    assert taken[1] >= ALONE * (taken[2] - 5)


@pytest.mark.parametrize("work", ["recheck", "withheld"])
def test_what_comes_again_in_every_scan_does_not_make_the_next_one_come_sooner(work: Work) -> None:
    clock = Clock()
    turns = Turns(2, clock)
    turns.begin(is_bounded=True)
    clock.now += 2 * TURN_SECONDS
    while turns.take(0, work):
        pass
    assert not turns.has_more
    while turns.take(0, "new"):
        pass
    assert turns.is_urgent
