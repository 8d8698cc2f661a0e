"""What protects undelivered bytes: hard links if possible, descriptors otherwise.

The journal says which, for each file.
"""

from __future__ import annotations

import errno
import os
import pathlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.tail.follower import Follower, Writer


def protections(follower: Follower) -> set[str]:
    return {view.protection for view in follower.tailer.segments().values()}


def test_behind_an_unfinished_file_has_a_link_and_a_finished_one_has_none(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(protect="behind")
    writer.append(follower.traces / "a.jsonl", 3)
    follower.scan()
    assert (protections(follower), len(os.listdir(follower.held))) == ({"link"}, 1)
    follower.read()
    assert (protections(follower), os.listdir(follower.held)) == ({"descriptor"}, [])


def list_recorded(follower: Follower) -> list[tuple[str | None, bool | None]]:
    """Return what the journal says of every file's protection."""
    return [
        (record.protection, record.can_link) for _, record in sorted(follower.store.records.items())
    ]


def test_the_journal_says_when_a_link_is_made_and_when_it_is_removed(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(protect="behind")
    writer.append(follower.traces / "a.jsonl", 3)
    follower.scan()
    assert list_recorded(follower) == [("link", True)]
    follower.read()
    follower.scan()
    assert (list_recorded(follower), os.listdir(follower.held)) == ([("descriptor", True)], [])


def forbid_links(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", fail)


@pytest.mark.parametrize("error", [errno.EPERM, errno.EXDEV, errno.EMLINK])
def test_the_journal_says_that_a_link_could_not_be_made(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    forbid_links(monkeypatch, error)
    writer.append(follower.traces / "a.jsonl", 3)
    follower.scan()
    assert list_recorded(follower) == [("descriptor", False)]


def test_the_journal_says_that_a_file_of_another_owner_could_not_be_linked(
    public_directory: pathlib.Path, writer: Writer
) -> None:
    if os.geteuid() or read_protected_hardlinks() != "1":
        pytest.skip("needs root, to be another user for a while, and fs.protected_hardlinks = 1")
    os.chown(public_directory, 12345, -1)
    with acting_as(12345):
        follower = Follower(public_directory)
        follower.behind = True
        writer.append(follower.traces / "mine.jsonl", 3)
    writer.append(follower.traces / "roots.jsonl", 3)
    with acting_as(12345):
        follower.turn()
    by_name = {
        os.path.basename(record.path): (record.protection, record.can_link)
        for record in follower.store.records.values()
    }
    follower.stop()
    assert by_name == {"mine.jsonl": ("link", True), "roots.jsonl": ("descriptor", False)}


@pytest.fixture
def public_directory() -> Iterator[pathlib.Path]:
    """A directory that other users can reach: pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as directory:
        yield pathlib.Path(directory)


def read_protected_hardlinks() -> str:
    path = pathlib.Path("/proc/sys/fs/protected_hardlinks")
    return path.read_text("ascii").strip() if path.exists() else ""


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_journal_says_that_nothing_protects_a_file_whose_descriptor_was_given_up(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_links(monkeypatch, errno.EXDEV)
    monkeypatch.setattr(follower.tailer._open_files._descriptors, "_limit", 2)
    follower.behind = True
    for number in range(5):
        writer.append(follower.traces / f"{number}.jsonl", 3)
    follower.turn()
    assert Counter(list_recorded(follower)) == {("descriptor", False): 2, ("none", False): 3}
    follower.read()
    follower.scan()
    assert Counter(list_recorded(follower)) == {("descriptor", False): 2, ("none", False): 3}
    assert {id_: record.protection for id_, record in follower.store.records.items()} == {
        id_: view.protection for id_, view in follower.tailer.segments().items()
    }


def test_a_descriptor_ends_with_the_daemon_and_the_journal_says_so(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_links(monkeypatch, errno.EXDEV)
    follower.behind = True
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turn()
    follower.stop()
    assert list_recorded(follower) == [("none", False)]
    follower.start()
    follower.turn()
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turn()
    assert list_recorded(follower) == [("descriptor", False)]


def test_a_descriptor_of_a_killed_daemon_is_none_to_a_reader_and_to_the_next_daemon(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_links(monkeypatch, errno.EXDEV)
    follower.behind = True
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turn()
    [left] = follower.store.records.values()
    assert left.protection == "descriptor"
    assert left.find_current_protection(is_daemon_running=True) == "descriptor"
    assert left.find_current_protection(is_daemon_running=False) == "none"
    follower.kill()
    assert list_recorded(follower) == [("none", False)]


def test_a_link_outlives_the_daemon_unless_somebody_removes_it(
    follower: Follower, writer: Writer
) -> None:
    follower.behind = True
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turn()
    follower.kill()
    assert list_recorded(follower) == [("link", True)]
    follower.stop()
    assert list_recorded(follower) == [("link", True)]
    for link in follower.held.iterdir():
        link.unlink()
    follower.start()
    assert list_recorded(follower) == [("none", True)]


def test_a_file_at_rest_costs_no_further_write_of_the_journal(
    follower: Follower, writer: Writer
) -> None:
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turns()
    before = follower.store.saves
    follower.turns(20)
    assert follower.store.saves == before


def test_a_source_may_have_a_directory_of_its_own_for_links(
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
    assert follower.count_lines() == Counter(writer.written)
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
        assert follower.count_lines() == Counter(writer.written)
    finally:
        for path in elsewhere.iterdir():
            path.unlink()
        elsewhere.rmdir()


def test_more_deleted_files_than_the_limit_cause_a_warning_and_are_kept(
    follower: Follower, writer: Writer
) -> None:
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
    assert follower.count_lines() == Counter(writer.written)
    assert (follower.last.held_bytes, follower.last.files) == (0, 0)


def test_a_link_that_nobody_can_place_is_set_aside_at_start_and_never_removed(
    follower: Follower,
) -> None:
    follower.stop()
    stray = follower.held / "segment-12345"
    stray.write_bytes(b"{}\n")
    foreign = follower.held / "README"
    foreign.write_bytes(b"")
    follower.start()
    follower.turn()
    assert (stray.exists(), foreign.exists()) == (False, True)
    assert (follower.held / "unknown" / "segment-12345").read_bytes() == b"{}\n"
    assert [warning.kind for warning in follower.warnings] == ["set_aside"]


@pytest.mark.parametrize("harm", ["links", "folder"])
@pytest.mark.parametrize("is_behind", [True, False])
def test_links_that_somebody_has_removed_are_made_again(
    follower: Follower, writer: Writer, harm: str, *, is_behind: bool
) -> None:
    follower.behind = is_behind
    for name in "ab":
        writer.append(follower.traces / f"{name}.jsonl", 3)
    follower.turns(3)
    before = sorted(os.listdir(follower.held))
    assert len(before) == 2
    for name in before:
        (follower.held / name).unlink()
    if harm == "folder":
        follower.held.rmdir()
    follower.turn(61)
    assert sorted(os.listdir(follower.held)) == before
    assert [each.kind for each in follower.warnings] == ["link"]
    follower.turn(61)
    assert len(follower.warnings) == 1
    for name in "ab":
        (follower.traces / f"{name}.jsonl").unlink()
    follower.restart()
    follower.behind = False
    follower.turns(10)
    assert (follower.count_lines(), follower.losses) == (Counter(writer.written), [])
    assert os.listdir(follower.held) == []


def test_links_that_come_back_are_those_of_their_files(follower: Follower, writer: Writer) -> None:
    """Their file system was not mounted for a while."""
    follower.behind = True
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turn()
    away = follower.held.rename(follower.root / "away")
    follower.held.mkdir()
    follower.turn(61)
    (made,) = follower.held.iterdir()
    made.unlink()
    follower.held.rmdir()
    away.rename(follower.held)
    follower.turn(61)
    follower.turn(61)
    assert set(protections(follower)) == {"link"}
    (follower.traces / "a.jsonl").unlink()
    follower.behind = False
    follower.turns(10)
    assert (follower.lines, os.listdir(follower.held)) == (writer.written, [])


def test_a_deleted_file_whose_link_was_removed_ends_with_this_process(
    follower: Follower, writer: Writer
) -> None:
    follower.behind = True
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turn()
    (follower.traces / "a.jsonl").unlink()
    follower.turn()
    assert follower.tailer.list_ending() == frozenset()
    for path in follower.held.iterdir():
        path.unlink()
    (segment,) = follower.tailer.segments()
    assert follower.tailer.list_ending() == {segment}
    losses = follower.tailer.find_losses([segment])
    assert [(loss.segment.id, loss.reason) for loss in losses] == [(segment, "deleted")]


ODD_LINKS = (
    b"segment-12:agent:%s+\xff.jsonl",
    b"segment-12:agent:%s+%%00.jsonl",
    b"segment-12:agent:%%00",
    b"segment-12:agent:%s+..+..+..+x.jsonl",
    b"segment-12:agent:%s+..%%2f..%%2fx.jsonl",
    b"segment-12:agent:%s+%%zz.jsonl",
    b"segment-12:agent:",
    b"segment-0:agent:%s+x.jsonl",
    b"segment--1:agent:%s+x.jsonl",
    b"segment-\xd9\xa3:agent:%s+x.jsonl",
    b"segment-99999999999999999999999:agent:%s+x.jsonl",
    b"segment-9223372036854775807:agent:%s+x.jsonl",
    b"segment-12:agent:%s+x.jsonl:more",
    b"arrival-99999999999999999999999:agent:%s+%%00.jsonl",
)


@pytest.mark.parametrize("name", ODD_LINKS)
def test_a_held_file_with_an_odd_name_arrives_once(
    follower: Follower, writer: Writer, name: bytes
) -> None:
    follower.stop()
    place = os.fsencode(follower.traces).replace(b"/", b"+")
    writer.append(
        os.fsdecode(
            os.path.join(
                os.fsencode(follower.held), name.replace(b"%s", place).replace(b"%%", b"%")
            )
        ),
        3,
    )
    follower.start()
    follower.turns(3)
    follower.restart()
    follower.turns(10)
    assert follower.lines == writer.written
    assert (os.listdir(follower.held), follower.losses) == ([], [])


@pytest.mark.parametrize(
    "name", [b"segment-\xff", b"segment-12:ag\xffent:x", b"segment-0", b"segment-"]
)
def test_a_held_file_whose_odd_name_has_no_source_is_set_aside(
    follower: Follower, name: bytes
) -> None:
    follower.stop()
    (follower.held / os.fsdecode(name)).write_bytes(b"{}\n")
    for _ in range(2):
        follower.start()
        follower.turn()
        follower.stop()
        assert os.listdir(follower.held) == ["unknown"]
        (kept,) = (follower.held / "unknown").iterdir()
        assert kept.read_bytes() == b"{}\n"


def test_two_links_with_the_number_of_one_segment_both_arrive(
    follower: Follower, writer: Writer
) -> None:
    writer.append(follower.traces / "a.jsonl", 3)
    follower.scan()
    (follower.traces / "a.jsonl").unlink()
    follower.stop()
    (ours,) = follower.held.iterdir()
    for name in "bcdefg":  # they are listed in any order
        writer.append(follower.held / f"{ours.name.removesuffix('a.jsonl')}{name}.jsonl", 1)
    follower.start()
    follower.turns(3)
    follower.restart()
    follower.turns(10)
    assert follower.count_lines() == Counter(writer.written)
    assert os.listdir(follower.held) == []


def test_a_loss_is_reported_until_it_is_acknowledged(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    follower.behind = True
    follower.turn()
    follower.stop()
    for path in [a, *follower.held.iterdir()]:
        path.unlink()
    follower.start()
    with monkeypatch.context() as patched:
        patched.setattr(follower.tailer, "acknowledge", lambda _segment, _offset: None)
        follower.turns()
    assert [loss.lost_bytes for loss in follower.losses] == [follower.losses[0].size]
    follower.restart()
    follower.turns()
    follower.restart()
    follower.turns()
    assert len(follower.losses) == 2
    assert follower.store.records == {}


def test_a_crash_between_a_link_and_its_record_loses_and_repeats_nothing(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    with monkeypatch.context() as patch:
        patch.setattr(follower.store, "save", fail)
        with pytest.raises(OSError, match="no space"):
            follower.scan()
    assert (len(os.listdir(follower.held)), follower.store.records) == (1, {})
    a.unlink()
    follower.kill()
    follower.turns()
    assert follower.lines == writer.written
    assert (follower.last.files, os.listdir(follower.held)) == (0, [])


def test_a_crash_between_a_removed_link_and_its_record_repeats_nothing(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    follower.turns()
    a.unlink()
    follower.turn()
    with monkeypatch.context() as patch:
        patch.setattr(follower.store, "forget", fail)
        with pytest.raises(OSError, match="no space"):
            follower.turns()
    assert (os.listdir(follower.held), len(follower.store.records)) == ([], 1)
    follower.kill()
    follower.turns()
    assert follower.lines == writer.written
    assert follower.losses == []


def test_a_link_that_cannot_be_removed_keeps_its_record_until_it_is(
    follower: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a record, the next start would deliver the file again."""
    unlink = os.unlink

    def fail(path: str, **_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    a = follower.traces / "a.jsonl"
    writer.append(a, 3)
    follower.turns()
    unlink(a)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fail)
        follower.turns()
        assert len(follower.store.records) == 1
    follower.turns()
    assert (follower.store.records, os.listdir(follower.held)) == ({}, [])


def test_a_deleted_file_that_is_rewritten_is_set_aside(follower: Follower, writer: Writer) -> None:
    a = follower.traces / "a.jsonl"
    follower.behind = True
    writer.append(a, 3)
    follower.turn()
    with a.open("r+b") as file:
        a.unlink()
        follower.turn()
        file.truncate()
        file.write(b'{"other": 1}\n' * 20)
    follower.turns()
    [kept] = (follower.held / "unknown").iterdir()
    assert kept.read_bytes() == b'{"other": 1}\n' * 20
    assert "set_aside" in {warning.kind for warning in follower.warnings}


def test_a_long_path_keeps_the_end_of_its_name_in_the_name_of_the_link(
    follower: Follower, writer: Writer
) -> None:
    folder = follower.traces / ("d" * 150) / ("e" * 150)
    folder.mkdir(parents=True)
    follower.behind = True
    writer.append(folder / "a b.jsonl", 3)
    follower.turn()
    (folder / "a b.jsonl").unlink()
    follower.store.records.clear()
    follower.behind = False
    follower.kill()
    [view] = follower.tailer.segments().values()
    assert os.path.basename(view.segment.path) == "a b.jsonl"
    follower.turns()
    assert follower.lines == writer.written
