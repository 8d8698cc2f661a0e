"""A file system that comes late, goes, or is replaced under its path: nothing is lost, and nothing
is delivered twice.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.faults.mounts import Mounts, make_image, real_mounts
from tests.servers.processes import wait_until

Attach = Callable[[], None]


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    sidecar = Sidecar(tmp_path)
    yield sidecar
    sidecar.kill()


@pytest.fixture
def mounts(tmp_path: Path, sidecar: Sidecar) -> Iterator[Mounts]:
    with real_mounts(tmp_path) as mounts:
        yield mounts
        sidecar.kill()


@pytest.fixture(
    params=[
        "tmpfs",
        pytest.param("loop", marks=pytest.mark.long),
        pytest.param("bind", marks=pytest.mark.long),
    ]
)
def attach(request: pytest.FixtureRequest, mounts: Mounts, sidecar: Sidecar) -> Attach:
    """Put the same file system at the traces' path, again and again."""
    place = sidecar.folder / "place"
    if request.param == "loop":
        image = make_image(sidecar.folder / "image")
        return lambda: mounts.image(image, sidecar.traces)
    if request.param == "tmpfs":
        mounts.tmpfs(place)
    else:
        place.mkdir()
    return lambda: mounts.bind(place, sidecar.traces)


def states(sidecar: Sidecar) -> Counter[str]:
    """The states of the segments, as `files{state}` has them."""
    found: Counter[str] = Counter()
    try:
        exposition = sidecar.get("/metrics")[1].decode()
    except OSError:  # it does not listen yet
        return found
    for line in exposition.splitlines():
        if line.startswith("tracesidecar_files{"):
            labels, count = line.rsplit(" ", 1)
            found[labels.split('state="')[1].split('"')[0]] += int(float(count))
    return found


def wait_for(sidecar: Sidecar, state: str, count: int) -> None:
    wait_until(lambda: states(sidecar)[state] == count or sidecar.has_ended(), 60)


def losses(sidecar: Sidecar) -> int:
    status = json.loads(sidecar.ask("status", "--json").stdout)
    return int(status["sources"][0]["lost_bytes"])


def test_a_mount_that_appears_after_the_start_is_not_delivered_again(
    sidecar: Sidecar, mounts: Mounts, attach: Attach
) -> None:
    attach()
    paths = [sidecar.traces / "a.jsonl", sidecar.traces / "sub" / "b.jsonl"]
    paths[1].parent.mkdir()
    for number, path in enumerate(paths):
        append(path, number_lines(100 * number, 50))
    assert sidecar.ship().returncode == 0
    mounts.remove(sidecar.traces)
    sidecar.start()
    wait_for(sidecar, "away", 2)
    attach()
    for number, path in enumerate(paths):
        append(path, number_lines(100 * number + 50, 5))
    sidecar.arrives(110)
    wait_for(sidecar, "live", 2)
    assert sidecar.stop() == 0
    assert sorted(sidecar.lines()) == sorted(number_lines(0, 55) + number_lines(100, 55))
    assert losses(sidecar) == 0
    assert sidecar.ask("verify", "lake").returncode == 0


@pytest.mark.long
def test_a_file_system_can_be_unmounted_while_we_run_and_goes_on_where_it_was(
    sidecar: Sidecar, mounts: Mounts, attach: Attach
) -> None:
    attach()
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 50))
    sidecar.start()
    sidecar.arrives(50)
    wait_until(lambda: unmounts(mounts, sidecar.traces), 30)
    wait_for(sidecar, "away", 1)
    attach()
    append(path, number_lines(50, 50))
    sidecar.arrives(100)
    assert sidecar.stop() == 0
    assert sidecar.lines() == number_lines(0, 100)


@pytest.mark.long
def test_other_content_under_the_same_path_is_new_and_the_old_goes_on_when_it_is_back(
    sidecar: Sidecar, mounts: Mounts, attach: Attach
) -> None:
    attach()
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 50))
    sidecar.start()
    sidecar.arrives(50)
    other = sidecar.folder / "other"
    mounts.tmpfs(other)
    append(other / "a.jsonl", number_lines(500, 50))
    mounts.bind(other, sidecar.traces)
    sidecar.arrives(100)
    wait_for(sidecar, "away", 1)
    append(path, number_lines(550, 10))
    sidecar.arrives(110)
    wait_until(lambda: unmounts(mounts, sidecar.traces), 30)
    append(path, number_lines(50, 10))
    sidecar.arrives(120)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 60) + number_lines(500, 60))
    assert losses(sidecar) == 0


def unmounts(mounts: Mounts, point: Path) -> bool:
    """Unmount if nothing has a file open there."""
    try:
        mounts.remove(point)
    except subprocess.CalledProcessError:
        return False
    return True


def test_a_fresh_file_system_with_the_numbers_of_the_old_one_is_another(
    sidecar: Sidecar, mounts: Mounts
) -> None:
    mounts.tmpfs(sidecar.traces)
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 50))
    before = (path.stat().st_dev, path.stat().st_ino)
    assert sidecar.ship().returncode == 0
    mounts.remove(sidecar.traces)
    mounts.tmpfs(sidecar.traces)
    append(path, number_lines(500, 60))
    assert (path.stat().st_dev, path.stat().st_ino) == before, "tmpfs gives the same numbers"
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 50) + number_lines(500, 60))
    assert losses(sidecar) == 0


@pytest.mark.long
def test_what_is_appended_to_a_copy_on_another_device_is_read(
    sidecar: Sidecar, mounts: Mounts
) -> None:
    one, two = sidecar.folder / "one", sidecar.folder / "two"
    mounts.tmpfs(one)
    mounts.tmpfs(two)
    append(one / "a.jsonl", number_lines(0, 50))
    shutil.copyfile(one / "a.jsonl", two / "a.jsonl")
    assert (one / "a.jsonl").stat().st_ino == (two / "a.jsonl").stat().st_ino
    mounts.bind(one, sidecar.traces)
    sidecar.start()
    sidecar.arrives(50)
    mounts.bind(two, sidecar.traces)
    append(sidecar.traces / "a.jsonl", number_lines(50, 10))
    sidecar.arrives(60)
    assert sidecar.stop() == 0
    assert sidecar.lines() == number_lines(0, 60)


@pytest.mark.long
def test_a_file_system_below_the_root_is_waited_for(sidecar: Sidecar, mounts: Mounts) -> None:
    image = make_image(sidecar.folder / "image")
    below = sidecar.traces / "below"
    append(sidecar.traces / "a.jsonl", number_lines(0, 50))
    mounts.image(image, below)
    append(below / "b.jsonl", number_lines(100, 50))
    sidecar.start()
    sidecar.arrives(100)
    wait_until(lambda: unmounts(mounts, below), 30)
    wait_for(sidecar, "away", 1)
    mounts.image(image, below)
    append(below / "b.jsonl", number_lines(150, 5))
    sidecar.arrives(105)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 50) + number_lines(100, 55))


def test_bytes_on_a_file_system_that_is_away_are_late_not_lost(
    sidecar: Sidecar, mounts: Mounts
) -> None:
    image = make_image(sidecar.folder / "image")
    mounts.image(image, sidecar.traces)
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 50))
    sidecar.configure(
        LAKE.format(lake=sidecar.lake)
        + '[[sink]]\nname = "down"\ntype = "http"\nurl = "http://127.0.0.1:1/"\n',
        daemon='drain_deadline = "2s"',
    )
    assert sidecar.ship().returncode == 75
    mounts.remove(sidecar.traces)
    assert sidecar.ship().returncode == 75, "the bytes are left behind, and said to be"
    status = json.loads(sidecar.ask("status", "--json").stdout)
    assert status["sources"][0]["lost_bytes"] == 0
    assert status["sinks"][1]["lag_bytes"] == len(body(number_lines(0, 50)))
    mounts.image(image, sidecar.traces)
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    append(path, number_lines(50, 20))
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 70)


@pytest.mark.long
def test_a_file_that_is_deleted_from_its_own_file_system_is_forgotten(
    sidecar: Sidecar, mounts: Mounts
) -> None:
    mounts.tmpfs(sidecar.traces)
    for name in ("a", "b"):
        append(sidecar.traces / f"{name}.jsonl", number_lines(0, 5, name=name))
    sidecar.start()
    sidecar.arrives(10)
    (sidecar.traces / "a.jsonl").unlink()
    wait_until(lambda: sum(states(sidecar).values()) == 1, 60)
    assert sidecar.stop() == 0


@pytest.mark.long
def test_files_that_are_moved_out_of_an_emptied_root_and_back_are_not_delivered_again(
    sidecar: Sidecar,
) -> None:
    path, aside = sidecar.traces / "a.jsonl", sidecar.folder / "aside"
    append(path, number_lines(0, 50))
    assert sidecar.ship().returncode == 0
    path.rename(aside)
    assert sidecar.ship().returncode == 0
    sidecar.start()
    wait_for(sidecar, "away", 1)
    aside.rename(path)
    append(path, number_lines(50, 5))
    sidecar.arrives(55)
    assert sidecar.stop() == 0
    assert sidecar.lines() == number_lines(0, 55)
