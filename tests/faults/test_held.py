"""Held data is kept until it has arrived, whatever becomes of the journal, the disk and the daemon.

Real processes, real kills, real mounts.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.servers.processes import wait_until
from tests.warm import warm
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.new_file_notices import NewFileNotices
from tracesidecar.tail.options import SourceOptions

JOURNAL = ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm")


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    sidecar = Sidecar(tmp_path)
    yield sidecar
    sidecar.kill()


def links(sidecar: Sidecar) -> list[str]:
    return sorted(path.name for path in sidecar.state.glob("held/segment-*"))


def warnings(stderr: bytes) -> list[str]:
    records = [msgspec.json.decode(line) for line in stderr.splitlines() if line.startswith(b"{")]
    return [
        record.get("kind", record["event"])
        for record in records
        if record["event"] in ("collect.warning", "source.adopted")
    ]


def leave_deleted_file(sidecar: Sidecar, name: str = "a.jsonl") -> None:
    """Leave a file undelivered and deleted: its link is the only copy."""
    sidecar.lake.write_bytes(b"")  # a file where the folder should be: the sink is down
    append(sidecar.traces / name, number_lines(0, 100))
    sidecar.start()
    wait_until(lambda: links(sidecar))
    (sidecar.traces / name).unlink()
    wait_until(lambda: b'"files":0' in sidecar.get("/status")[1].replace(b" ", b""))
    sidecar.kill()
    sidecar.lake.unlink()


def move_journal(sidecar: Sidecar) -> None:
    for name in JOURNAL:
        if (sidecar.state / name).exists():
            (sidecar.state / name).rename(sidecar.folder / name)


def empty_journal(sidecar: Sidecar) -> None:
    for name in JOURNAL[1:]:
        (sidecar.state / name).unlink(missing_ok=True)
    (sidecar.state / JOURNAL[0]).write_bytes(b"")


def rename_source(sidecar: Sidecar) -> None:
    sidecar.config.write_text(sidecar.config.read_text().replace('"agent"', '"agents"'))


@pytest.mark.parametrize(
    ("harm", "announced"),
    [(move_journal, "adopted"), (empty_journal, "adopted"), (rename_source, "source.adopted")],
)
def test_a_held_file_that_the_journal_does_not_know_is_delivered(
    sidecar: Sidecar, harm: Callable[[Sidecar], None], announced: str
) -> None:
    leave_deleted_file(sidecar)
    harm(sidecar)
    done = sidecar.ship()
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 100))
    assert (done.returncode, warnings(done.stderr)) == (0, [announced])
    assert links(sidecar) == []


def test_a_held_file_goes_on_where_its_sink_was_when_its_source_is_renamed(
    sidecar: Sidecar,
) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    sidecar.start()
    sidecar.arrives(100)
    assert sidecar.stop() == 0
    append(sidecar.traces / "a.jsonl", number_lines(100, 50))
    (sidecar.traces / "a.jsonl").unlink()
    rename_source(sidecar)
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 150))


def test_a_link_whose_file_is_still_there_is_no_second_segment(sidecar: Sidecar) -> None:
    sidecar.lake.write_bytes(b"")
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    (sidecar.traces / "sub").mkdir()
    append(sidecar.traces / "b.jsonl", number_lines(100, 100))
    sidecar.start()
    wait_until(lambda: len(links(sidecar)) == 2)
    sidecar.kill()
    (sidecar.traces / "b.jsonl").rename(sidecar.traces / "sub" / "c.jsonl")
    move_journal(sidecar)
    sidecar.lake.unlink()
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 200))


def test_a_held_file_of_no_source_is_set_aside_and_delivered_once_there_is_one(
    sidecar: Sidecar,
) -> None:
    leave_deleted_file(sidecar)
    move_journal(sidecar)
    before = sidecar.config.read_text()
    other = sidecar.folder / "other"
    other.mkdir()
    sidecar.config.write_text(
        before.replace('"agent"', '"mine"').replace(f"{sidecar.traces}/", f"{other}/")
    )
    done = sidecar.ship()
    assert (done.returncode, warnings(done.stderr), sidecar.lines()) == (0, ["set_aside"], [])
    [kept] = (sidecar.state / "held" / "unknown").iterdir()
    assert kept.read_bytes() == body(number_lines(0, 100))
    status = sidecar.ask("status")
    assert b"held/unknown" in status.stdout.replace(b"\n", b"")
    held = msgspec.json.decode(sidecar.ask("status", "--json").stdout)["held"]
    assert (held["set_aside_files"], held["set_aside_bytes"]) == (1, kept.stat().st_size)
    sidecar.config.write_text(before)
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 100))


@pytest.mark.parametrize("is_named", [False, True], ids=["held", "hold_directory"])
def test_odd_names_of_held_files_stop_neither_a_start_nor_status(
    sidecar: Sidecar, *, is_named: bool
) -> None:
    hold = sidecar.folder / "hold" if is_named else sidecar.state / "held"
    source = f'hold_directory = "{hold}"' if is_named else ""
    sidecar.configure(LAKE.format(lake=sidecar.lake), source=source)
    hold.mkdir(mode=0o700, exist_ok=True)
    place = str(sidecar.traces).replace("/", "+")
    odd = (
        f"12:agent:{place}+\udcff.jsonl",
        f"13:agent:{place}+%00.jsonl",
        f"{10**25}:agent:{place}+x",
    )
    for first, name in enumerate((*odd, "14:nobody:%00", "\udcff")):
        append(hold / f"segment-{name}", number_lines(first, 1))
    assert sidecar.ask("status").returncode == 0
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 3))
    kept = [path.read_bytes() for path in (hold / "unknown").iterdir()]
    assert sorted(kept) == [body([line]) for line in number_lines(3, 2)]
    held = msgspec.json.decode(sidecar.ask("status", "--json").stdout)["held"]
    assert held["set_aside_files"] == 2


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    options = "size=24m,nr_inodes=60,mode=700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False)
    if mounted.returncode != 0:
        pytest.skip("this kernel lets nobody mount a tmpfs here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as filler:
        for size in (1 << 20, 4096):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                continue


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_file_whose_record_could_not_be_written_is_delivered_after_the_next_start(
    sidecar: Sidecar, small: Path, number: signal.Signals
) -> None:
    hold = sidecar.folder / "hold"
    state = small / "state"
    sidecar.configure(LAKE.format(lake=sidecar.lake), source=f'hold_directory = "{hold}"')
    sidecar.config.write_text(sidecar.config.read_text().replace(str(sidecar.state), str(state)))
    warm(state)
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    fill(small / "filler")
    append(sidecar.traces / "b.jsonl", number_lines(10, 10))
    wait_until(lambda: len(list(hold.glob("segment-*"))) == 2)
    sidecar.wait_for_event("collect.scan_failed")
    (sidecar.traces / "b.jsonl").unlink()
    assert sidecar.daemon is not None
    sidecar.daemon.send_signal(number)
    if number is signal.SIGTERM:
        sidecar.wait_for_event("collect.scan_failed", 3)
    sidecar.kill()
    (small / "filler").unlink()
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 20))


def test_a_link_that_failed_for_want_of_an_inode_is_made_when_there_is_room(
    sidecar: Sidecar, small: Path
) -> None:
    traces, hold = small / "traces", small / "held"
    traces.mkdir()
    sidecar.lake.write_bytes(b"")
    sidecar.configure(LAKE.format(lake=sidecar.lake), source=f'hold_directory = "{hold}"')
    sidecar.config.write_text(
        sidecar.config.read_text().replace(f"{sidecar.traces}/", f"{traces}/")
    )
    sidecar.start()
    append(traces / "a.jsonl", number_lines(0, 10))
    wait_until(lambda: len(list(hold.glob("segment-*"))) == 1)
    fillers = [small / f"filler{n}" for n in range(os.statvfs(small).f_ffree - 1)]
    for filler in fillers:
        filler.touch()
    append(traces / "b.jsonl", number_lines(10, 10))
    wait_until(lambda: link_warnings(sidecar))
    for filler in fillers:
        filler.unlink()
    wait_until(lambda: len(list(hold.glob("segment-*"))) == 2)
    append(traces / "c.jsonl", number_lines(20, 10))
    wait_until(lambda: len(list(hold.glob("segment-*"))) == 3)
    assert len(link_warnings(sidecar)) <= 2  # that it fails, and that it works again
    for name in "abc":
        (traces / f"{name}.jsonl").unlink()
    sidecar.kill()
    sidecar.lake.unlink()
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 30))


@pytest.mark.parametrize(
    "in_state", [True, pytest.param(False, marks=pytest.mark.long)], ids=["held", "hold_directory"]
)
def test_on_a_full_disk_the_daemon_goes_on_and_protects_again_when_there_is_room(
    sidecar: Sidecar, small: Path, *, in_state: bool
) -> None:
    """Not a byte and not an inode is left: neither links nor the journal can be written."""
    traces, state, hold = small / "traces", small / "state", small / "hold"
    traces.mkdir()
    warm(state)
    source = "" if in_state else f'hold_directory = "{hold}"'
    sidecar.configure(LAKE.format(lake=sidecar.lake), source)
    text = sidecar.config.read_text().replace(f"{sidecar.traces}/", f"{traces}/")
    sidecar.config.write_text(text.replace(str(sidecar.state), str(state)))
    folder = state / "held" if in_state else hold
    paths = [traces / f"{name}.jsonl" for name in "abc"]
    append(paths[0], number_lines(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    wait_until(lambda: len(list(folder.glob("segment-*"))) == 1)
    with paths[1].open("ab") as waiting:  # it has its inode and its first page
        waiting.write(body(number_lines(10, 1)))
        waiting.flush()
        sidecar.arrives(11)
        fill(small / "filler")
        fillers: list[Path] = []
        with suppress(OSError):
            while True:
                fillers.append(small / f"filler{len(fillers)}")
                fillers[-1].touch()
        waiting.write(body(number_lines(11, 9)))
    paths[1].rename(traces / "d.jsonl")
    sidecar.wait_for_event("collect.scan_failed")
    assert not sidecar.has_ended()
    for filler in [small / "filler", *fillers]:
        filler.unlink(missing_ok=True)
    sidecar.arrives(20)
    append(paths[2], number_lines(20, 10))
    sidecar.arrives(30)
    wait_until(lambda: len(list(folder.glob("segment-*"))) == 3)
    sidecar.lake.rename(sidecar.folder / "aside")
    sidecar.lake.write_bytes(b"")
    append(paths[2], number_lines(30, 10))
    paths[2].unlink()
    sidecar.kill()
    sidecar.lake.unlink()
    (sidecar.folder / "aside").rename(sidecar.lake)
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 40))


def link_warnings(sidecar: Sidecar) -> list[object]:
    return [event["problem"] for event in sidecar.events() if event.get("kind") == "link"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_moved_or_deleted_while_the_daemon_is_stopped_arrives(
    sidecar: Sidecar, number: signal.Signals
) -> None:
    elsewhere = sidecar.folder / "elsewhere"
    elsewhere.mkdir()
    for name, first in (("moved", 0), ("deleted", 100)):
        append(sidecar.traces / f"{name}.jsonl", number_lines(first, 100))
    sidecar.start()
    sidecar.arrives(200)
    wait_until(lambda: sum_committed_bytes(sidecar) == len(body(number_lines(0, 200))))
    sidecar.stop(number)
    append(sidecar.traces / "moved.jsonl", number_lines(200, 200))
    (sidecar.traces / "moved.jsonl").rename(elsewhere / "moved.txt")
    append(sidecar.traces / "deleted.jsonl", number_lines(400, 200))
    (sidecar.traces / "deleted.jsonl").unlink()
    sidecar.start()
    sidecar.arrives(600)
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 600))
    # a deleted file gives its space back as soon as it has arrived
    wait_until(lambda: len(links(sidecar)) == 1)
    assert sidecar.stop() == 0


def sum_committed_bytes(sidecar: Sidecar) -> int:
    with sqlite3.connect(sidecar.state / JOURNAL[0]) as db:
        (total,) = db.execute("SELECT coalesce(sum(offset), 0) FROM offset").fetchone()
    return int(total)


def test_behind_keeps_no_link_of_what_has_arrived(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source='protect = "behind"')
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    sidecar.start()
    sidecar.arrives(100)
    wait_until(lambda: links(sidecar) == [])
    assert (sidecar.stop(), links(sidecar)) == (0, [])


def test_never_makes_no_link(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source='protect = "never"')
    sidecar.lake.write_bytes(b"")
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    assert (sidecar.has_ended(), links(sidecar)) == (False, [])


def test_a_stop_leaves_links_within_the_limit_and_ship_once_releases_them(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), daemon='held_limit = "7kB"')
    yesterday = os.stat(sidecar.folder).st_mtime - 25 * 3600
    for number in range(4):
        append(sidecar.traces / f"{number}.jsonl", number_lines(100 * number, 100))
        os.utime(sidecar.traces / f"{number}.jsonl", (yesterday, yesterday + 3600 * (number + 1)))
    sidecar.start()
    sidecar.arrives(400)
    assert sidecar.stop() == 0
    kept = [name.rpartition("+")[2] for name in links(sidecar)]
    assert sorted(kept) == ["2.jsonl", "3.jsonl"]
    shown = sidecar.ask("status").stdout.decode()
    assert f"2 files have a hard link in {sidecar.state}/held; those of deleted files" in shown
    assert "keep 0 B on the disk" in shown
    assert "removed: tracesidecar ship --once, then delete these directories" in shown
    assert sidecar.ship().returncode == 0
    assert links(sidecar) == []


def leave_arrivals(sidecar: Sidecar, folder: Path, count: int) -> None:
    """Leave links as a kill does that comes before the first scan of deleted files."""
    folder.mkdir(parents=True, exist_ok=True)
    agent = SourceOptions(name="agent", include=(f"{sidecar.traces}/**/*.jsonl",))
    globs = SourceGlobs([agent])
    arrivals = Arrivals(globs, [agent], str(sidecar.state / "held"))
    notices = NewFileNotices(globs, [agent], arrivals)
    for number in range(count):
        path = folder / f"{number}.jsonl"
        append(path, number_lines(number, 1))
        notices.note_created(str(path))
        path.unlink()
    (folder / "empty.jsonl").touch()
    notices.note_created(str(folder / "empty.jsonl"))
    (folder / "empty.jsonl").unlink()


@pytest.mark.parametrize("kind", ["plain", "long", "renamed"])
def test_one_ship_delivers_and_releases_what_a_kill_left_unlooked_at(
    sidecar: Sidecar, kind: str
) -> None:
    append(sidecar.traces / "first.jsonl", number_lines(100, 1))
    assert sidecar.ship().returncode == 0
    long = f"{'d' * 150}/{'e' * 100}" if kind == "long" else "."
    leave_arrivals(sidecar, sidecar.traces / long, 20)
    assert len(list(sidecar.state.glob("held/arrival-*"))) == 21
    if kind == "renamed":
        rename_source(sidecar)
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 20) + number_lines(100, 1))
    assert [path for path in sidecar.state.glob("held/*") if path.is_file()] == []


@pytest.mark.parametrize("others", [True, False], ids=["lost", "away"])
def test_what_counted_as_lost_while_its_link_was_not_there_arrives_and_is_no_loss(
    sidecar: Sidecar, others: bool
) -> None:
    lines = number_lines(0, 10)
    append(sidecar.traces / "a.jsonl", lines[:5])
    if others:
        append(sidecar.traces / "b.jsonl", number_lines(100, 1))
    sidecar.start()
    sidecar.arrives(5 + others)
    assert sidecar.stop() == 0
    append(sidecar.traces / "a.jsonl", lines[5:])
    (sidecar.traces / "a.jsonl").unlink()
    held = sidecar.state / "held"
    held.rename(sidecar.folder / "aside")
    sidecar.ship()
    (source,) = msgspec.json.decode(sidecar.ask("status", "--json").stdout)["sources"]
    assert source["lost_files_uncounted"] == 1
    if held.exists():
        held.rmdir()
    (sidecar.folder / "aside").rename(held)
    assert sidecar.ship().returncode == 0
    assert set(lines) <= set(sidecar.lines())
    (source,) = msgspec.json.decode(sidecar.ask("status", "--json").stdout)["sources"]
    assert source["lost_files_uncounted"] == 0
    assert links(sidecar) == []


def test_sealed_lines_that_the_journal_does_not_know_are_set_aside(sidecar: Sidecar) -> None:
    pyrage = pytest.importorskip("pyrage")
    key = pyrage.x25519.Identity.generate().to_public()
    sealing = f'[quarantine]\nseal_to = "{key}"'
    sidecar.configure(LAKE.format(lake=sidecar.lake), more=sealing)
    append(sidecar.traces / "a.jsonl", [*number_lines(0, 3), b"broken"])
    assert sidecar.ship().returncode == 0
    [sealed] = sidecar.state.glob("quarantine/*.age")
    (sidecar.traces / "a.jsonl").unlink()
    move_journal(sidecar)
    again = LAKE.format(lake=sidecar.lake) + 'start = "beginning"\n'
    sidecar.configure(again, more=sealing)
    assert sidecar.ship().returncode == 0
    assert [path.name for path in sidecar.state.glob("quarantine/unknown/*")] == [sealed.name]
