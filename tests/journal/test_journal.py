"""The journal: what was committed survives a kill, and nothing else does."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tracesidecar.errors import StateError, StateLocked
from tracesidecar.journal import load_deliveries, lock
from tracesidecar.journal.database import WAL_LIMIT_BYTES
from tracesidecar.journal.journal import Commit, Journal
from tracesidecar.journal.losses import LostBytes
from tracesidecar.journal.plan import Plan, PlannedObject
from tracesidecar.journal.quarantine import QuarantinedLine
from tracesidecar.model import Checkpoint, Range
from tracesidecar.tail import Protection, SegmentRecord, SegmentState


def ignore(_point: str) -> None:
    return None


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal.open(str(tmp_path))
    journal.sinks.begin("lake", "directory:/lake", {})
    return journal


def record(number: int, path: str = "/traces/a.jsonl") -> SegmentRecord:
    return SegmentRecord(
        number, "agent", path, 1, 2, 0, "none", 10, 10, b"d" * 16, 5, 6, SegmentState.LIVE
    )


def plan(batch: str = "b1", at: int = 100) -> Plan:
    return Plan(
        batch,
        "lake",
        at,
        "host",
        "f",
        3,
        (Range(1, 0, 10, b"r", b"t", 3),),
        (PlannedObject("raw/x", (b"s",)),),
    )


def make_rejected(start: int = 4, sink: str = "") -> QuarantinedLine:
    return QuarantinedLine(
        1, sink, start, start + 3, "agent", "/traces/a.jsonl", 0, "not_json", b"k"
    )


def test_segments_survive_a_restart_with_names_that_are_not_utf8(
    tmp_path: Path, journal: Journal
) -> None:
    odd = os.fsdecode(b"/traces/\xff\xfe na\nme.jsonl")
    journal.segments.save([record(1, odd), record(2)])
    journal.close()
    assert Journal.open(str(tmp_path)).segments.load() == [record(1, odd), record(2)]


@pytest.mark.parametrize("protection", ["link", "descriptor", "none", None])
@pytest.mark.parametrize("can_link", [True, False, None])
def test_what_protects_a_segment_survives_a_restart(
    tmp_path: Path, journal: Journal, protection: Protection | None, can_link: bool | None
) -> None:
    saved = replace(record(1), protection=protection, can_link=can_link)
    journal.segments.save([record(1), saved])
    journal.close()
    assert Journal.open(str(tmp_path)).segments.load() == [saved]


def test_a_plan_stays_until_it_is_committed(tmp_path: Path, journal: Journal) -> None:
    journal.plans.save(plan("b2", 200))
    journal.plans.save(plan("b1", 100))
    again = Journal.open(str(tmp_path))
    assert again.plans.load("lake") == [plan("b1", 100), plan("b2", 200)]
    again.commit(Commit("lake", "b1", {1: Checkpoint(10, b"t")}, ()), ignore)
    assert again.plans.load("lake") == [plan("b2", 200)]
    assert again.sinks.load_offsets("lake") == {1: Checkpoint(10, b"t")}


def test_an_offset_never_goes_back(journal: Journal) -> None:
    journal.commit(Commit("lake", None, {1: Checkpoint(10, b"t")}, ()), ignore)
    journal.commit(Commit("lake", None, {1: Checkpoint(5, b"x")}, ()), ignore)
    assert journal.sinks.load_offsets("lake") == {1: Checkpoint(10, b"t")}


def test_the_frontier_is_the_furthest_checkpoint_of_any_sink(journal: Journal) -> None:
    journal.sinks.begin("other", "http://x", {})
    journal.commit(Commit("lake", None, {1: Checkpoint(10, b"near")}, ()), ignore)
    journal.commit(Commit("other", None, {1: Checkpoint(30, b"far")}, ()), ignore)
    assert journal.segments.load_frontier() == {1: Checkpoint(30, b"far")}


def test_a_line_rejected_by_validation_is_one_row_however_many_sinks_pass_it(
    journal: Journal,
) -> None:
    journal.sinks.begin("other", "http://x", {})
    assert journal.commit(Commit("lake", None, {}, (make_rejected(),)), ignore) == 1
    assert (
        journal.commit(Commit("other", None, {}, (make_rejected(), make_rejected(20))), ignore) == 1
    )
    assert [entry.line for entry in journal.quarantine.load()] == [
        make_rejected(),
        make_rejected(20),
    ]


def test_a_line_that_two_destinations_reject_is_a_row_for_each(journal: Journal) -> None:
    journal.commit(Commit("lake", None, {}, (make_rejected(sink="lake"),)), ignore)
    journal.commit(Commit("other", None, {}, (make_rejected(sink="other"),)), ignore)
    assert journal.quarantine.count() == {
        ("agent", "lake", "not_json"): 1,
        ("agent", "other", "not_json"): 1,
    }


def test_a_commit_that_fails_in_the_middle_changes_nothing(journal: Journal) -> None:
    journal.plans.save(plan())

    def fail(_point: str) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        journal.commit(Commit("lake", "b1", {1: Checkpoint(10, b"t")}, (make_rejected(),)), fail)
    assert journal.sinks.load_offsets("lake") == {}
    assert journal.plans.load("lake") == [plan()]
    assert journal.quarantine.load() == []


def test_a_process_killed_in_the_middle_of_a_commit_leaves_the_plan_and_no_offset(
    tmp_path: Path, journal: Journal
) -> None:
    journal.plans.save(plan())
    journal.close()
    script = (
        "import os,signal,sys\n"
        "from tracesidecar.model import Checkpoint\n"
        "from tracesidecar.journal.journal import Commit, Journal\n"
        "j = Journal.open(sys.argv[1])\n"
        "j.commit(Commit('lake', 'b1', {1: Checkpoint(10, b't')}, ()), lambda point: "
        "os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    again = Journal.open(str(tmp_path))
    assert again.plans.load("lake") == [plan()]
    assert again.sinks.load_offsets("lake") == {}


def test_forgetting_a_segment_removes_its_offsets_and_keeps_its_quarantined_lines(
    journal: Journal,
) -> None:
    journal.segments.save([record(1)])
    journal.commit(Commit("lake", None, {1: Checkpoint(10, b"t")}, (make_rejected(),)), ignore)
    journal.segments.forget([1])
    assert journal.segments.load() == []
    assert journal.sinks.load_offsets("lake") == {}
    assert len(journal.quarantine.load()) == 1


def test_losses_are_recorded_with_their_offsets(journal: Journal) -> None:
    journal.losses.record([LostBytes(1, "agent", "/traces/a.jsonl", 10, 90, "deleted")])
    [loss] = journal.losses.load()
    assert (loss.start, loss.bytes, loss.reason) == (10, 90, "deleted")


def test_what_a_sink_lacks_leaves_the_row_of_an_unknown_end(journal: Journal) -> None:
    """The end went while we were stopped; later a sink is there that lacks the rest as well."""

    def list_lost() -> list[tuple[str, int, int, bool]]:
        return [(x.sink, x.start, x.bytes, x.is_counted) for x in journal.losses.load()]

    gone = LostBytes(1, "agent", "/a.jsonl", 230, 0, "gone", is_counted=False)
    journal.losses.record([gone])
    journal.losses.record([LostBytes(1, "agent", "/a.jsonl", 0, 230, "deleted", sink="far")])
    both = [("", 230, 0, False), ("far", 0, 230, True)]
    assert list_lost() == both
    journal.losses.record([LostBytes(1, "agent", "/a.jsonl", 100, 130, "deleted")])
    assert list_lost() == [*both, ("", 100, 130, True)], "the end of known bytes is where it begins"
    journal.losses.record([gone])
    assert list_lost().count(both[0]) == 1, "it is recorded once"
    journal.losses.record([LostBytes(1, "agent", "/a.jsonl", 200, 200, "deleted")])
    assert [each for each in list_lost() if not each[0]] == [("", 200, 200, True)], (
        "by now it is known how much it was"
    )


def test_what_arrives_after_its_file_was_released_is_no_loss(tmp_path: Path) -> None:
    """It was in a batch of an optional sink that was on its way."""
    journal = Journal.open(str(tmp_path))
    journal.segments.save([record(1)])
    journal.sinks.begin("lake", "directory:/lake", {1: Checkpoint(10, b"")})
    journal.sinks.begin("far", "http:far", {1: Checkpoint(4, b"")})
    journal.sinks.begin("blind", "http:blind", {})
    told: list[LostBytes] = []
    journal.segments.expect_sinks(
        lambda: {"lake": lambda _: True, "far": lambda _: True, "blind": lambda _: False},
        told.extend,
    )
    journal.segments.forget([1])

    def list_lost(journal: Journal) -> list[tuple[str, int, int, str]]:
        return [(each.sink, each.start, each.bytes, each.reason) for each in journal.losses.load()]

    assert list_lost(journal) == [("far", 4, 6, "released")]
    assert [(each.sink, each.bytes) for each in told] == [("far", 6)]
    journal.commit(Commit("far", None, {1: Checkpoint(8, b"")}, ()), ignore)
    assert list_lost(journal) == [("far", 8, 2, "released")]
    journal.close()
    again = Journal.open(str(tmp_path))
    again.commit(Commit("far", None, {1: Checkpoint(10, b"")}, ()), ignore)
    assert list_lost(again) == []
    again.close()


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 500])
def test_a_damaged_journal_is_reported_and_never_replaced_by_an_empty_one(
    tmp_path: Path, journal: Journal, damage: bytes
) -> None:
    journal.close()
    path = tmp_path / "journal.sqlite"
    body = path.read_bytes()
    for extra in ("-wal", "-shm"):
        (tmp_path / f"journal.sqlite{extra}").unlink(missing_ok=True)
    path.write_bytes(damage + body[len(damage) + 100 :] if damage else body[:5000])
    with pytest.raises(StateError, match="cannot be used"):
        Journal.open(str(tmp_path))


def test_a_journal_of_another_schema_is_rejected(tmp_path: Path, journal: Journal) -> None:
    journal.close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (b"99",))
    with pytest.raises(StateError, match="schema 99"):
        Journal.open(str(tmp_path))


def test_reading_beside_a_writer_sees_what_is_committed(tmp_path: Path, journal: Journal) -> None:
    journal.commit(Commit("lake", None, {}, (), lines=7, bytes=70), ignore)
    [row] = Journal.open_to_read(str(tmp_path)).sinks.load()
    assert (row.name, row.lines, row.bytes, row.batches) == ("lake", 7, 70, 1)


def test_one_process_holds_a_state_directory_and_the_second_reports_which(tmp_path: Path) -> None:
    with lock.hold_lock(str(tmp_path)):
        script = (
            "import sys\nfrom tracesidecar.journal import lock\n"
            "with lock.hold_lock(sys.argv[1]): pass\n"
        )
        second = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert f"in use by process {os.getpid()}" in second.stderr
    with lock.hold_lock(str(tmp_path)):
        assert StateLocked.__mro__[1] is StateError


def test_sinks_that_commit_side_by_side_are_all_noted_as_delivered(
    journal: Journal, tmp_path: Path
) -> None:
    """Each entry keeps a lost journal from delivering everything to that sink again."""
    sinks = {f"lake-{number}": f"directory:/lake-{number}" for number in range(40)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda sink: journal.note_deliveries(dict([sink])), sinks.items()))
    assert load_deliveries(str(tmp_path)).sinks == sinks


def test_how_much_the_journal_has_is_noted_beside_it_from_time_to_time(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that is restored after a kill has less than was noted before it."""
    monkeypatch.setattr("tracesidecar.journal.journal.NOTE_SECONDS", 0.0)
    journal.sinks.begin("lake", "directory:/lake", {})
    for count in range(1, 4):
        journal.commit(Commit("lake", None, {}, (), lines=1), lambda _point: None)
        assert load_deliveries(str(tmp_path)).batches == {"lake": count}
    (row,) = journal.sinks.load()
    noted = load_deliveries(str(tmp_path))
    assert noted.is_ahead([row._replace(batches=2)])
    assert not noted.is_ahead([row])
    assert not noted.is_ahead([row._replace(batches=0, destination="directory:/other")])


def test_the_write_ahead_log_is_cut_back_after_a_large_transaction(
    journal: Journal, tmp_path: Path
) -> None:
    journal.segments.save_landmarks(dict.fromkeys(range(24), b"x" * (1 << 20)))
    log = tmp_path / "journal.sqlite-wal"
    assert log.stat().st_size > WAL_LIMIT_BYTES
    for number in range(2):
        journal.segments.save_landmarks({number: b"y"})
    assert log.stat().st_size <= WAL_LIMIT_BYTES


def run_holder(folder: Path) -> subprocess.CompletedProcess[str]:
    """Take the lock in another process."""
    script = (
        "import sys\nfrom tracesidecar.journal import hold_lock\n"
        "with hold_lock(sys.argv[1]):\n    pass\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("harm", ["removed", "replaced", "renamed"])
def test_a_lock_whose_file_is_gone_is_still_held(tmp_path: Path, harm: str) -> None:
    """Seen: a second daemon started beside the first, and every line arrived twice."""
    with lock.hold_lock(str(tmp_path)):
        path = tmp_path / "lock"
        if harm == "renamed":
            path.rename(tmp_path / "old")
        else:
            path.unlink()
        if harm == "replaced":
            path.write_text("1\n")
        second = run_holder(tmp_path)
        assert f"StateLocked: the state directory {tmp_path} is in use by process " in second.stderr
        assert f"process {os.getpid()}:" in second.stderr
        assert lock.is_locked(str(tmp_path))
    assert lock.is_locked(str(tmp_path)) is False
    assert run_holder(tmp_path).returncode == 0


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_again(tmp_path: Path) -> None:
    """Two processes with a lock on two files of one name must not both believe that they hold it.

    The directory's lock is not asked for by an earlier version, and not given on NFS.
    """
    (tmp_path / "compact.lock").touch()
    with lock.hold_lock(str(tmp_path), "compact.lock"):
        (tmp_path / "compact.lock").unlink()
        with lock.hold_lock(str(tmp_path), "compact.lock"):
            held = os.stat(tmp_path / "compact.lock").st_ino
            assert lock._list_holders(held) == [os.getpid()]


def make_fifo(path: Path, _other: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "plant",
    [Path.symlink_to, make_fifo, lambda path, _other: path.mkdir()],
    ids=["link", "fifo", "dir"],
)
def test_a_lock_that_is_no_file_is_rejected_untouched(
    tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    other = tmp_path / "precious.jsonl"
    other.write_bytes(b"content\n")
    (state := tmp_path / "state").mkdir()
    plant(state / "lock", other)
    with pytest.raises(StateError, match=r"lock .*: .*remove it"), lock.hold_lock(str(state)):
        pass
    assert other.read_bytes() == b"content\n"


@pytest.mark.parametrize("is_linked", [True, False], ids=["linked", "written"])
def test_a_lock_with_the_content_of_another_file_is_not_overwritten(
    tmp_path: Path, is_linked: bool
) -> None:
    other = tmp_path / "precious.jsonl"
    other.write_bytes(b"12\n" if is_linked else b"content\n")
    (state := tmp_path / "state").mkdir()
    if is_linked:
        (state / "lock").hardlink_to(other)
    else:
        other.rename(state / "lock")
    with lock.hold_lock(str(state)):
        assert f"process {os.getpid()}:" in run_holder(state).stderr
    assert (state / "lock").read_bytes() == (b"12\n" if is_linked else b"content\n")


def test_what_delivered_is_noted_in_a_file_of_ours_whatever_has_its_names(
    journal: Journal, tmp_path: Path
) -> None:
    """Seen: the file of a link `deliveries.json.new` was overwritten, and a FIFO was waited for."""
    (other := tmp_path / "precious.jsonl").write_bytes(b"content\n")
    (tmp_path / "deliveries.json.new").symlink_to(other)
    os.mkfifo(tmp_path / "deliveries.json")
    assert load_deliveries(str(tmp_path)).sinks == {}
    journal.note_deliveries({"lake": "directory:/lake"})
    assert load_deliveries(str(tmp_path)).sinks == {"lake": "directory:/lake"}
    assert other.read_bytes() == b"content\n"
