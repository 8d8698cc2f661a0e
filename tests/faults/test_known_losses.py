"""Every loss that can be known is in the journal, in the metrics, in `status` and in `explain`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.faults.test_mounts import states
from tests.servers.processes import wait_until
from tests.tail.follower import exchange
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.new_file_notices import NewFileNotices
from tracesidecar.tail.options import SourceOptions


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    sidecar = Sidecar(tmp_path)
    yield sidecar
    sidecar.kill()


def source(sidecar: Sidecar) -> dict[str, int]:
    document = json.loads(sidecar.ask("status", "--json").stdout)
    found: dict[str, int] = document["sources"][0]
    return found


def explain(sidecar: Sidecar, path: Path) -> list[tuple[str, str]]:
    """State and reason of each range of a file."""
    document = json.loads(sidecar.ask("explain", str(path), "--json").stdout)
    return [
        (piece["state"], piece["detail"].partition(";")[0])
        for each in document["ranges"]
        for piece in each["pieces"]
    ]


def list_reported_losses(sidecar: Sidecar) -> list[tuple[object, ...]]:
    """Sink, reason, path and bytes of each loss in the log."""
    return [
        tuple(event.get(key) for key in ("sink", "reason", "path", "bytes"))
        for event in sidecar.events()
        if event.get("event") == "collect.lost"
    ]


def drop_links(sidecar: Sidecar) -> None:
    shutil.rmtree(sidecar.state / "held", ignore_errors=True)


def test_a_file_that_is_renamed_out_of_the_glob_at_once_is_read_under_its_new_name(
    sidecar: Sidecar,
) -> None:
    aside = sidecar.traces / "aside"
    aside.mkdir()
    sidecar.start()
    sidecar.wait_for_event("sink.connected")
    for number in range(5):
        path = sidecar.traces / f"{number}.jsonl"
        append(path, number_lines(10 * number, 10))
        path.rename(aside / f"{number}.done")
    sidecar.arrives(50)
    assert sidecar.stop() == 0
    assert sorted(sidecar.lines()) == sorted(number_lines(0, 50))


def test_what_only_the_daemon_could_read_is_recorded_as_lost_when_it_stops(
    sidecar: Sidecar,
) -> None:
    sidecar.lake.write_bytes(b"")  # a file where the folder should be: the sink is down
    text = 'protect = "never"'
    sidecar.configure(LAKE.format(lake=sidecar.lake), text, daemon='drain_deadline = "1s"')
    sidecar.start()
    gone, there = sidecar.traces / "gone.jsonl", sidecar.traces / "there.jsonl"
    append(gone, number_lines(0, 5))
    append(there, number_lines(5, 5))
    size = len(body(number_lines(0, 5)))
    wait_until(lambda: states(sidecar) == {"live": 2})
    gone.unlink()
    wait_until(lambda: states(sidecar) == {"live": 1, "deleted": 1})
    assert sidecar.stop() == 75
    left = {e["path"]: e for e in sidecar.events() if e["event"] == "drain.left_behind"}
    assert "is lost" in str(left[str(gone)]["problem"])
    assert "problem" not in left[str(there)]
    (end,) = [e for e in sidecar.events() if e["event"] == "drain.incomplete"]
    remedy = str(end["remedy"])
    assert remedy.startswith(f"{size} bytes of deleted files end with this process")
    assert "For the others: the data stays on disk" in remedy
    assert list_reported_losses(sidecar) == [(None, "deleted", str(gone), size)]
    assert source(sidecar)["lost_bytes"] == size
    assert explain(sidecar, gone) == [("lost", "deleted")]
    sidecar.lake.unlink()
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(5, 5))
    assert source(sidecar)["lost_bytes"] == size


@pytest.mark.parametrize("way", ["deleted", "moved away"])
def test_what_only_the_daemon_could_read_outlasts_a_reload(sidecar: Sidecar, way: str) -> None:
    sidecar.lake.write_bytes(b"")  # a file where the folder should be: the sink is down
    lake = LAKE.format(lake=sidecar.lake)
    sidecar.configure(lake, 'protect = "never"')
    daemon = sidecar.start()
    gone, there = sidecar.traces / "gone.jsonl", sidecar.traces / "there.jsonl"
    append(gone, number_lines(0, 5))
    append(there, number_lines(5, 5))
    wait_until(lambda: states(sidecar) == {"live": 2})
    if way == "deleted":
        gone.unlink()
        wait_until(lambda: states(sidecar) == {"live": 1, "deleted": 1})
    else:
        gone.rename(sidecar.folder / "elsewhere")
    for turn in range(3):
        sidecar.configure(lake, f'protect = "never"\nlabels = {{ turn = "{turn}" }}')
        daemon.send_signal(signal.SIGHUP)
        sidecar.wait_for_event("reload.done", turn + 1)
    sidecar.lake.unlink()
    sidecar.arrives(10)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 10))
    assert list_reported_losses(sidecar) == []


@pytest.mark.parametrize(
    "names",
    [
        ['name = "renamed"'],
        ['name = "renamed"\nid = "agent"'],
        ['name = "renamed"', 'name = "again"\nid = "agent"'],
    ],
)
def test_what_only_the_daemon_could_read_outlasts_a_reload_that_renames_its_source(
    sidecar: Sidecar, names: list[str]
) -> None:
    sidecar.lake.write_bytes(b"")  # the sink is down
    lake = LAKE.format(lake=sidecar.lake)
    sidecar.configure(lake, 'protect = "never"')
    daemon = sidecar.start()
    gone = sidecar.traces / "gone.jsonl"
    append(gone, number_lines(0, 5))
    wait_until(lambda: states(sidecar) == {"live": 1})
    gone.unlink()
    wait_until(lambda: states(sidecar)["deleted"] == 1)
    text = sidecar.config.read_text()
    assert text.count('name = "agent"') == 1
    for turn, name in enumerate(names):
        sidecar.config.write_text(text.replace('name = "agent"', name))
        daemon.send_signal(signal.SIGHUP)
        sidecar.wait_for_event("reload.done", turn + 1)
    sidecar.lake.unlink()
    sidecar.arrives(5)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 5))
    assert list_reported_losses(sidecar) == []


def test_what_only_the_daemon_could_read_of_a_removed_source_is_recorded_as_lost(
    sidecar: Sidecar,
) -> None:
    sidecar.lake.write_bytes(b"")  # the sink is down
    lake = LAKE.format(lake=sidecar.lake)
    other = sidecar.folder / "other"
    other.mkdir()
    more = f'[[source]]\nname = "other"\ninclude = ["{other}/*.jsonl"]\nprotect = "never"'
    sidecar.configure(lake, more=more)
    daemon = sidecar.start()
    append(other / "gone.jsonl", number_lines(0, 5))
    wait_until(lambda: states(sidecar)["live"] == 1)
    (other / "gone.jsonl").unlink()
    wait_until(lambda: states(sidecar)["deleted"] == 1)
    sidecar.configure(lake)
    daemon.send_signal(signal.SIGHUP)
    sidecar.wait_for_event("reload.done")
    size = len(body(number_lines(0, 5)))
    expected = [(None, "deleted", str(other / "gone.jsonl"), size)]
    assert list_reported_losses(sidecar) == expected


@pytest.mark.parametrize("way", ["root", "folder", "deleted"])
def test_a_file_that_leaves_at_once_arrives_or_is_a_loss(sidecar: Sidecar, way: str) -> None:
    outside = sidecar.folder / "outside"
    outside.mkdir()
    append(sidecar.traces / "kept.jsonl", number_lines(0, 1))
    lines = {number: number_lines(10 * number, 10) for number in range(1, 31)}
    for number in lines:
        (sidecar.traces / f"session-{number}").mkdir()
    sidecar.start()
    sidecar.arrives(1)
    for number, written in lines.items():
        folder = sidecar.traces / f"session-{number}" if way == "folder" else sidecar.traces
        path = folder / f"{number}.jsonl"
        append(path, written)
        time.sleep(0.005 * (number % 5))  # what the agent does meanwhile
        if way == "root":
            path.rename(outside / path.name)
        elif way == "folder":
            folder.rename(outside / folder.name)
        else:
            path.unlink()

    def is_accounted_for() -> bool:
        files = len(set(sidecar.lines())) // 10
        return files + len(list_reported_losses(sidecar)) == len(lines)

    wait_until(is_accounted_for, 120)
    assert sidecar.stop() == 0
    assert max(Counter(sidecar.lines()).values()) == 1
    lost = source(sidecar)["lost_files_uncounted"]
    assert lost == len(list_reported_losses(sidecar))
    assert lost < len(lines) // 2, "what stays for 5 milliseconds and more is mostly kept"


def count_open_files(sidecar: Sidecar, folder: Path) -> int:
    """How many files of a folder the daemon has open; it lets only root see that."""
    if os.geteuid() != 0:
        pytest.skip("only root can see what the daemon has open")
    assert sidecar.daemon is not None
    count = 0
    for entry in Path(f"/proc/{sidecar.daemon.pid}/fd").iterdir():
        with suppress(OSError):
            count += entry.readlink().parent == folder
    return count


@pytest.mark.parametrize("way", ["removed", "moved out"])
def test_each_file_of_a_directory_that_comes_with_files_and_goes_arrives_or_is_a_loss(
    sidecar: Sidecar, way: str
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), 'protect = "never"')
    append(sidecar.traces / "kept.jsonl", number_lines(0, 1))
    prepared, folder = sidecar.folder / "prepared", sidecar.traces / "in"
    prepared.mkdir()
    for number in range(1, 301):
        append(prepared / f"{number}.jsonl", number_lines(number, 1))
    (prepared / "empty.jsonl").touch()
    sidecar.start()
    sidecar.arrives(1)
    prepared.rename(folder)
    wait_until(lambda: count_open_files(sidecar, folder) > 0)
    if way == "removed":
        shutil.rmtree(folder)
    else:
        folder.rename(sidecar.folder / "out")
    wait_until(lambda: len(sidecar.lines()) + count_lost_files(sidecar) == 301, 120)
    assert sidecar.stop() == 0
    assert max(Counter(sidecar.lines()).values()) == 1
    assert len(sidecar.lines()) + source(sidecar)["lost_files_uncounted"] == 301


def count_lost_files(sidecar: Sidecar) -> int:
    """How many files of unknown size are counted as lost."""
    page = sidecar.get("/metrics")[1].decode().splitlines()
    return sum(
        int(float(line.split()[-1]))
        for line in page
        if line.startswith("tracesidecar_lost_files_total{")
    )


def test_more_files_than_are_remembered_are_one_loss_of_their_directory(tmp_path: Path) -> None:
    agent = SourceOptions(name="agent", include=(f"{tmp_path}/in/*.jsonl",), protect="never")
    (tmp_path / "in").mkdir()
    for number in range(10_100):
        (tmp_path / f"in/{number}.jsonl").write_bytes(b"{}\n")
    globs = SourceGlobs([agent])
    arrivals = Arrivals(globs, [agent], str(tmp_path / "held"))
    notices = NewFileNotices(globs, [agent], arrivals)
    notices.note_directory(str(tmp_path / "in"), is_new=True)
    shutil.rmtree(tmp_path / "in")
    late = time.monotonic() + 60
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: late)
        lost = notices.take_lost(lambda missed: False, until=late)
    arrivals.close()
    assert len(lost) == 10_001
    assert (str(tmp_path / "in"), 0, "gone") in lost


@pytest.mark.parametrize("reason", ["gone", "moved"])
def test_a_file_that_is_gone_before_anything_could_keep_it_is_a_loss(
    sidecar: Sidecar, reason: str
) -> None:
    append(sidecar.traces / "kept.jsonl", number_lines(0, 1))
    sidecar.start()
    sidecar.arrives(1)
    sidecar.pause()
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(10, 10))
    (sidecar.traces / "empty.jsonl").touch()
    (sidecar.traces / "empty.jsonl").unlink()
    if reason == "moved":
        path.rename(sidecar.traces / "a.done")
        (sidecar.traces / "a.done").unlink()
    else:
        path.unlink()
    sidecar.resume()
    sidecar.wait_for_event("collect.lost")
    counted = f'tracesidecar_lost_files_total{{reason="{reason}"}} 1.0'
    assert counted.encode() in sidecar.get("/metrics")[1]
    assert sidecar.stop() == 0
    assert list_reported_losses(sidecar) == [(None, reason, str(path), "unknown")]
    assert source(sidecar)["lost_files_uncounted"] == 1
    assert explain(sidecar, path) == [("lost", reason)]


def test_a_file_that_is_deleted_while_no_descriptor_is_left_arrives(sidecar: Sidecar) -> None:
    append(sidecar.traces / "kept.jsonl", number_lines(0, 1))
    locked = sidecar.traces / "locked.jsonl"
    append(locked, number_lines(10, 10))
    free = sidecar.folder / "free"
    driver = (
        "import os, sys\n"
        "real = os.open\n"
        "def refuse(path, *more, **kw):\n"
        f"    if str(path).endswith('locked.jsonl') and not os.path.exists({str(free)!r}):\n"
        "        raise OSError(24, 'Too many open files')\n"
        "    return real(path, *more, **kw)\n"
        "os.open = refuse\n"
        "from tracesidecar import daemon\n"
        "from tracesidecar.config.load import load\n"
        "sys.exit(daemon.run(load(sys.argv[1], os.environ)))\n"
    )
    script = sidecar.folder / "driver.py"
    script.write_text(driver)
    sidecar.start_script(script)
    sidecar.wait_for_event("collect.warning")
    sidecar.arrives(1)
    locked.unlink()
    wait_until(lambda: sidecar.get("/status")[0] == 200)
    free.touch()
    sidecar.arrives(11)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter([*number_lines(0, 1), *number_lines(10, 10)])
    assert list_reported_losses(sidecar) == []


def start_without(sidecar: Sidecar, free: Path) -> None:
    """Start a daemon to which locked.jsonl, also through a link, is an I/O error until then."""
    driver = (
        "import os, sys\n"
        "real = os.open\n"
        "def refuse(path, flags, *more, **kw):\n"
        "    is_entry = str(path).startswith('/proc/self/fd/')\n"
        "    name = os.readlink(path) if is_entry else str(path)\n"
        "    is_locked = name.endswith('locked.jsonl') and not flags & os.O_PATH\n"
        f"    if is_locked and not os.path.exists({str(free)!r}):\n"
        "        raise OSError(5, 'Input/output error')\n"
        "    return real(path, flags, *more, **kw)\n"
        "os.open = refuse\n"
        "from tracesidecar import daemon\n"
        "from tracesidecar.config.load import load\n"
        "sys.exit(daemon.run(load(sys.argv[1], os.environ)))\n"
    )
    script = sidecar.folder / "driver.py"
    script.write_text(driver)
    sidecar.start_script(script)


def leave_locked(sidecar: Sidecar, free: Path, comes: str) -> int:
    """Write a file that cannot be opened, and delete it; return how long it was."""
    append(sidecar.traces / "kept.jsonl", number_lines(0, 1))
    locked = sidecar.traces / "locked.jsonl"
    if comes == "before":
        append(locked, number_lines(10, 10))
    start_without(sidecar, free)
    sidecar.arrives(1)
    if comes == "later":
        append(locked, number_lines(10, 10))
    sidecar.wait_for_event("collect.warning")
    locked.unlink()
    return len(body(number_lines(10, 10)))


@pytest.mark.parametrize("comes", ["before", pytest.param("later", marks=pytest.mark.long)])
def test_a_file_that_could_not_be_opened_and_was_deleted_is_a_loss_if_nothing_keeps_it(
    sidecar: Sidecar, comes: str
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source='protect = "never"')
    size = leave_locked(sidecar, sidecar.folder / "free", comes)
    sidecar.wait_for_event("collect.lost")
    assert sidecar.stop() == 0
    assert source(sidecar)["lost_bytes"] == size
    assert explain(sidecar, sidecar.traces / "locked.jsonl") == [("lost", "unreadable")]


@pytest.mark.parametrize("comes", ["before", pytest.param("later", marks=pytest.mark.long)])
def test_a_file_that_could_not_be_opened_and_was_deleted_arrives_from_its_link(
    sidecar: Sidecar, comes: str
) -> None:
    free = sidecar.folder / "free"
    size = leave_locked(sidecar, free, comes)
    wait_until(
        lambda: (
            f"{size} bytes of 1 file {sidecar.traces}/locked.jsonl cannot be read"
            in sidecar.get("/readyz")[1].decode()
        )
    )
    free.touch()
    sidecar.arrives(11)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter([*number_lines(0, 1), *number_lines(10, 10)])
    assert list_reported_losses(sidecar) == []
    assert source(sidecar)["lost_bytes"] == 0


@pytest.mark.long
def test_a_file_that_became_unreadable_and_was_moved_out_waits_until_it_can_be_read(
    sidecar: Sidecar,
) -> None:
    """What had its name no longer leads to it, and its link cannot be opened either."""
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed, and root may read everything")
        sidecar.prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    path, outside = sidecar.traces / "a.jsonl", sidecar.folder / "outside"
    append(path, number_lines(0, 3))
    sidecar.start()
    sidecar.arrives(3)
    wait_until(lambda: count_open_files(sidecar, sidecar.traces) == 0)
    path.chmod(0)
    path.rename(outside)
    append(sidecar.traces / "b.jsonl", number_lines(3, 3))
    sidecar.arrives(6)
    assert sidecar.stop() == 0
    outside.chmod(0o600)
    append(outside, number_lines(6, 3))
    outside.chmod(0)
    sidecar.start()
    sidecar.wait_for_event("sink.connected", times=2)
    wait_until(lambda: b'unreadable{source="agent"} 1.0' in sidecar.get("/metrics")[1])
    outside.chmod(0o600)
    sidecar.arrives(9)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 9))
    assert list_reported_losses(sidecar) == []


@pytest.mark.parametrize("others", [1, pytest.param(0, marks=pytest.mark.long)])
def test_a_file_that_went_while_we_were_stopped_is_a_loss_of_unknown_size(
    sidecar: Sidecar, others: int
) -> None:
    for _ in range(others):
        append(sidecar.traces / "kept.jsonl", number_lines(0, 1))
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(10, 10))
    assert sidecar.ship().returncode == 0
    drop_links(sidecar)
    append(path, number_lines(20, 10))
    path.unlink()
    assert sidecar.ship().returncode == 0
    found = source(sidecar)
    assert (found["lost_bytes"], found["lost_files_uncounted"]) == (0, 1)
    assert explain(sidecar, path) == [("delivered", ""), ("lost", "gone")]
    size = len(body(number_lines(10, 10)))
    explained = b" ".join(sidecar.ask("explain", str(path)).stdout.split())
    assert f"it had {size} bytes when it was last looked at".encode() in explained
    assert sidecar.ship().returncode == 0
    assert source(sidecar)["lost_files_uncounted"] == 1, "it is reported once"


@pytest.mark.skipif(sys.platform != "linux", reason="RENAME_EXCHANGE is of Linux")
@pytest.mark.parametrize("gone", ["a", pytest.param("both", marks=pytest.mark.long)])
def test_of_two_files_that_swap_names_each_arrives_or_is_a_loss(
    sidecar: Sidecar, gone: str
) -> None:
    append(sidecar.traces / "kept.jsonl", number_lines(0, 1))
    sidecar.start()
    sidecar.arrives(1)
    sidecar.pause()
    a, b = sidecar.traces / "a.jsonl", sidecar.traces / "b.jsonl"
    append(a, number_lines(10, 10))
    append(b, number_lines(20, 10))
    exchange(a, b)
    a.unlink()
    if gone == "both":
        b.unlink()
    sidecar.resume()
    lost = 1 if gone == "a" else 2
    wait_until(lambda: len(list_reported_losses(sidecar)) == lost, 60)
    assert sidecar.stop() == 0
    arrived = number_lines(10, 10) if gone == "a" else []
    assert Counter(sidecar.lines()) == Counter([*number_lines(0, 1), *arrived])
    assert source(sidecar)["lost_files_uncounted"] == lost
    assert ("lost", "gone") in explain(sidecar, b)


@pytest.mark.parametrize("grows", [False, True])
def test_versions_that_were_replaced_unseen_are_lost_unless_the_next_has_all_of_them(
    sidecar: Sidecar, *, grows: bool
) -> None:
    path, fresh = sidecar.traces / "a.jsonl", sidecar.traces / "fresh"
    append(path, number_lines(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    sidecar.pause()
    for number in range(1, 4):
        first = 0 if grows else 10 * number
        append(fresh, number_lines(first, 10 * (number + 1) - first))
        fresh.replace(path)
    sidecar.resume()
    sidecar.arrives(40 if grows else 20)
    append(sidecar.traces / "other.jsonl", number_lines(100, 1))
    sidecar.arrives(41 if grows else 21)
    if not grows:
        wait_until(lambda: len(list_reported_losses(sidecar)) == 2, 60)
    assert sidecar.stop() == 0
    others = number_lines(10, 30) if grows else number_lines(30, 10)
    expected = [*number_lines(0, 10), *others, *number_lines(100, 1)]
    assert Counter(sidecar.lines()) == Counter(expected)
    assert source(sidecar)["lost_files_uncounted"] == (0 if grows else 2)


def test_a_file_that_comes_back_to_an_emptied_root_is_no_loss(sidecar: Sidecar) -> None:
    path, aside = sidecar.traces / "a.jsonl", sidecar.folder / "aside"
    append(path, number_lines(0, 10))
    assert sidecar.ship().returncode == 0
    path.rename(aside)
    assert sidecar.ship().returncode == 0
    assert source(sidecar)["lost_files_uncounted"] == 1
    aside.rename(path)
    append(path, number_lines(10, 1))
    assert sidecar.ship().returncode == 0
    assert source(sidecar)["lost_files_uncounted"] == 0
    assert explain(sidecar, path) == [("delivered", "")]
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 11))


def test_what_a_sink_lacks_that_comes_back_is_lost_beside_what_went_unseen(
    sidecar: Sidecar,
) -> None:
    lake = LAKE.format(lake=sidecar.lake)
    sidecar.configure(lake + FAR, daemon='drain_deadline = "1s"')
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 10))
    size = path.stat().st_size
    assert sidecar.ship().returncode == 75
    sidecar.configure(lake)
    assert sidecar.ship().returncode == 0
    path.unlink()
    assert sidecar.ship().returncode == 0
    assert source(sidecar)["lost_files_uncounted"] == 1
    sidecar.configure(lake + FAR, daemon='drain_deadline = "1s"')
    sidecar.ship()
    found = source(sidecar)
    assert (found["lost_bytes"], found["lost_files_uncounted"]) == (size, 1)
    assert pieces(sidecar, path) == {
        "lake": [(0, size, "delivered"), (size, size, "lost")],
        "far": [(0, size, "lost"), (size, size, "lost")],
    }


@pytest.mark.long
def test_what_was_deleted_while_a_sink_was_not_configured_is_its_loss(sidecar: Sidecar) -> None:
    lake = LAKE.format(lake=sidecar.lake)
    down = '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:1/"\n'
    sidecar.configure(lake + down, daemon='drain_deadline = "2s"')
    append(sidecar.traces / "kept.jsonl", number_lines(0, 1))
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(10, 10))
    assert sidecar.ship().returncode == 75
    sidecar.configure(lake)
    sidecar.start()
    sidecar.wait_for_event("sink.connected")
    path.unlink()
    wait_until(lambda: sum(states(sidecar).values()) == 1, 60)
    size = float(len(body(number_lines(10, 10))))
    lost = f'tracesidecar_lost_bytes_total{{reason="deleted"}} {size}'
    assert lost.encode() in sidecar.get("/metrics")[1]
    assert list_reported_losses(sidecar) == [
        ("far", "deleted", str(path), len(body(number_lines(10, 10))))
    ]
    assert sidecar.stop() == 0
    assert source(sidecar)["lost_bytes"] == 0, "nobody asks for it"
    sidecar.configure(lake + down, daemon='drain_deadline = "2s"')
    assert sidecar.ship().returncode == 75
    assert source(sidecar)["lost_bytes"] == len(body(number_lines(10, 10)))
    assert ("lost", "deleted") in explain(sidecar, path)


FAR = '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:1/"\n'


def pieces(sidecar: Sidecar, path: Path) -> dict[str, list[tuple[int, int, str]]]:
    """Start, end and state of each range of a file, by sink."""
    document = json.loads(sidecar.ask("explain", str(path), "--json").stdout)
    return {
        each["sink"]: [(piece["start"], piece["end"], piece["state"]) for piece in each["pieces"]]
        for each in document["ranges"]
    }


def test_a_loss_is_that_of_the_sinks_that_were_behind(sidecar: Sidecar) -> None:
    lake = LAKE.format(lake=sidecar.lake)
    sidecar.configure(lake + FAR, 'protect = "never"', 'drain_deadline = "1s"')
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 10))
    size = path.stat().st_size
    assert sidecar.ship().returncode == 75
    path.unlink()
    shipped = sidecar.ship("--json")
    assert json.loads(shipped.stdout)["left"] == []
    assert pieces(sidecar, path) == {"lake": [(0, size, "delivered")], "far": [(0, size, "lost")]}
    assert source(sidecar)["lost_bytes"] == size
    assert b'"sink": "far"' in shipped.stderr or b'"sink":"far"' in shipped.stderr


OTHER = '[[source]]\nname = "other"\ninclude = ["{folder}/other/*.jsonl"]\n'


def test_what_was_deleted_while_a_sink_did_not_take_the_source_is_its_loss(
    sidecar: Sidecar,
) -> None:
    other = OTHER.format(folder=sidecar.folder)
    lake = LAKE.format(lake=sidecar.lake)
    never = LAKE.format(lake=sidecar.lake).replace('"lake"', '"never"', 1) + 'sources = ["other"]\n'
    never = never.replace(str(sidecar.lake), f"{sidecar.lake}-never")

    def configure(taken: str, untaken: str = "other") -> None:
        far = FAR + f'sources = ["{taken}"]\n'
        sinks = lake + far + never.replace('"other"', f'"{untaken}"')
        sidecar.configure(sinks, "", 'drain_deadline = "1s"', other)

    configure("agent")
    append(sidecar.traces / "kept.jsonl", number_lines(100, 1))
    path, later = sidecar.traces / "a.jsonl", sidecar.traces / "later.jsonl"
    append(path, number_lines(0, 10))
    size = path.stat().st_size
    sidecar.start()
    sidecar.arrives(11)
    assert sidecar.stop() == 75
    configure("other")
    sidecar.start()
    append(later, number_lines(200, 1))
    sidecar.arrives(12)
    path.unlink()
    later.unlink()
    wait_until(lambda: sum(states(sidecar).values()) == 1, 60)
    assert list_reported_losses(sidecar) == [("far", "deleted", str(path), size)], (
        "nobody else ever lacked it"
    )
    lost = f'tracesidecar_lost_bytes_total{{reason="deleted"}} {float(size)}'
    assert lost.encode() in sidecar.get("/metrics")[1]
    assert sidecar.stop() == 0
    assert source(sidecar)["lost_bytes"] == 0, "nobody asks for it"
    configure("agent", "agent")
    assert sidecar.ship().returncode == 75
    assert source(sidecar)["lost_bytes"] == size
    assert pieces(sidecar, path) == {
        "lake": [(0, size, "delivered")],
        "far": [(0, size, "lost")],
        "never": [(0, size, "unknown")],
    }


def test_what_only_an_optional_sink_lacked_when_a_file_went_is_its_loss(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + FAR + "required = false\n")
    append(sidecar.traces / "kept.jsonl", number_lines(100, 1))
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 10))
    size = path.stat().st_size
    sidecar.start()
    sidecar.arrives(11)
    path.unlink()
    sidecar.wait_for_event("collect.lost")
    assert list_reported_losses(sidecar) == [("far", "released", str(path), size)]
    page = sidecar.get("/metrics")[1]
    lost = f'tracesidecar_lost_bytes_total{{reason="released"}} {float(size)}'
    assert lost.encode() in page
    assert sidecar.stop() == 0
    assert source(sidecar)["lost_bytes"] == size
    assert pieces(sidecar, path) == {"lake": [(0, size, "delivered")], "far": [(0, size, "lost")]}


def test_a_folder_that_went_while_we_were_stopped_is_one_event_and_a_row_a_file(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(FAR, 'protect = "never"', 'drain_deadline = "1s"')
    folder = sidecar.traces / "session"
    folder.mkdir()
    for number in range(300):
        append(folder / f"{number}.jsonl", number_lines(number, 1))
    size = sum(path.stat().st_size for path in folder.iterdir())
    append(sidecar.traces / "kept.jsonl", number_lines(1000, 1))
    assert sidecar.ship().returncode == 75
    shutil.rmtree(folder)
    sidecar.start()
    sidecar.wait_for_event("collect.lost")
    [event] = [each for each in sidecar.events() if each.get("event") == "collect.lost"]
    assert (event["files"], event["bytes"], event["reason"]) == (300, size, "deleted")
    named = event["paths"]
    assert isinstance(named, list) and 0 < len(named) <= 5  # noqa: PT018 - the type of the next line
    assert all(str(path).startswith(str(folder)) for path in named)
    sidecar.stop()
    with sqlite3.connect(sidecar.state / "journal.sqlite") as db:
        assert db.execute("SELECT count(*), sum(bytes) FROM loss").fetchone() == (300, size)
    assert explain(sidecar, folder / "7.jsonl") == [("lost", "deleted")]
