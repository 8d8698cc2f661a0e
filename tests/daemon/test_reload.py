"""SIGHUP loses and repeats nothing, and a rejected configuration changes nothing."""

from __future__ import annotations

import signal
import weakref
from collections import Counter

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.daemon.test_crash import kill_at
from tests.servers.processes import wait_until
from tracesidecar.collector import collector_paused


def second(sidecar: Sidecar) -> str:
    return LAKE.format(lake=sidecar.folder / "second").replace('"lake"', '"second"')


@pytest.mark.parametrize(
    "source", ["", 'labels = { changed = "too" }'], ids=["one sink", "sources too"]
)
def test_a_moved_destination_without_a_start_is_rejected_and_the_old_one_stays(
    sidecar: Sidecar, source: str
) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    daemon = sidecar.start()
    sidecar.arrives(10)
    sidecar.configure(LAKE.format(lake=sidecar.folder / "elsewhere"), source=source)
    daemon.send_signal(signal.SIGHUP)
    sidecar.wait_for_event("reload.refused")
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    sidecar.arrives(20)
    assert sidecar.stop() == 0
    assert sidecar.lines() == number_lines(0, 20)


def test_a_moved_destination_that_starts_now_gets_what_comes_from_now_on(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    daemon = sidecar.start()
    sidecar.arrives(10)
    sidecar.lake = sidecar.folder / "elsewhere"
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'start = "now"\n')
    daemon.send_signal(signal.SIGHUP)
    sidecar.wait_for_event("reload.done")
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    sidecar.arrives(10)
    assert sidecar.stop() == 0
    assert sidecar.lines() == number_lines(10, 10)


def test_a_storm_of_reloads_under_load_loses_and_repeats_nothing(sidecar: Sidecar) -> None:
    lake = LAKE.format(lake=sidecar.lake)
    variants = [
        lake + second(sidecar),
        lake.replace("500ms", "400ms") + second(sidecar),
        lake,
        lake + second(sidecar).replace("500ms", "300ms"),
    ]
    sidecar.configure(variants[0])
    daemon = sidecar.start()
    sidecar.wait_for_event("service.ready")
    for turn in range(24):
        append(sidecar.traces / f"{turn % 3}.jsonl", number_lines(turn * 100, 100))
        sidecar.configure(variants[turn % len(variants)])
        daemon.send_signal(signal.SIGHUP)
        if turn % 3 == 0:
            sidecar.arrives(turn * 50)
    sidecar.configure(variants[0])
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: len(sidecar.lines()) >= 2400 or sidecar.has_ended())
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 2400))


def test_a_kill_in_the_middle_of_a_reload_loses_and_repeats_nothing(sidecar: Sidecar) -> None:
    lake = LAKE.format(lake=sidecar.lake)
    for turn in range(6):
        append(sidecar.traces / "a.jsonl", number_lines(turn * 100, 100))
        sidecar.configure(lake + second(sidecar))
        daemon = sidecar.start()
        sidecar.wait_for_event("pipeline.first_read", turn + 1)
        sidecar.configure(
            lake.replace("500ms", f"{600 + turn}ms") + second(sidecar) if turn % 2 else lake,
            source='labels = { x = "y" }' if turn % 3 else "",
        )
        daemon.send_signal(signal.SIGHUP)
        sidecar.kill()
    sidecar.configure(lake + second(sidecar))
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 600)
    sidecar.lake = sidecar.folder / "second"
    assert sidecar.lines() == number_lines(0, 600)


def test_a_compression_that_changes_between_plan_and_repeat_makes_no_second_object(
    sidecar: Sidecar,
) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    kill_at(sidecar, "sent")
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'compression = "zstd"\n')
    assert sidecar.ship().returncode == 0
    assert [path.suffix for path in sidecar.objects()] == [".gz"]
    assert sidecar.lines() == number_lines(0, 100)


def test_what_a_reload_replaces_is_given_back() -> None:
    """Reviewed: the collector kept each replaced generation for ever, 2 KiB for each file."""
    kept: list[weakref.ref[Replaced]] = []
    generation = None
    for _ in range(4):
        with collector_paused(collects=True):
            generation = Replaced()
            kept.append(weakref.ref(generation))
    assert generation is not None
    assert sum(reference() is not None for reference in kept) <= 2


class Replaced:
    """Something in a circle, as a generation is: only the collector gives it back."""

    def __init__(self) -> None:
        self.itself = self
