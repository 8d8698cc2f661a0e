"""The number of a file among those that begin alike is never given twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracesidecar.dialects import FileIdentity
from tracesidecar.journal.journal import Commit, Journal
from tracesidecar.journal.plan import Plan

NAME, OTHER = b"n" * 16, b"o" * 16
PLAN = Plan("batch", "lake", 1, "host", "f", 0, (), ())


def assign(journal: Journal, segment: int, name: bytes = NAME) -> int:
    """Give a segment its number, and return it."""
    return journal.identities.assign(segment, name, folder="a", first=b"f").generation


def test_files_that_begin_alike_are_counted(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    assert [assign(journal, segment) for segment in (7, 5, 9)] == [0, 1, 2]
    assert assign(journal, 8, OTHER) == 0
    assert assign(journal, 5) == 1
    assert journal.identities.find(5) == FileIdentity("a", b"f", 1)
    assert journal.identities.find(6) is None
    journal.close()


@pytest.mark.parametrize("write", ["plan", "commit", "segments"])
def test_a_number_is_durable_with_whatever_is_written_next(tmp_path: Path, write: str) -> None:
    journal = Journal.open(str(tmp_path))
    assign(journal, 1)
    if write == "plan":
        journal.plans.save(PLAN)
    elif write == "commit":
        journal.commit(Commit("lake", None, {}, ()), lambda _point: None)
    else:
        journal.segments.forget([3])
    beside = Journal.open_to_read(str(tmp_path))  # as a process sees it after a kill
    assert beside.identities.find(1) == FileIdentity("a", b"f", 0)
    assert assign(beside, 2) == 1
    beside.close()
    journal.close()


def test_a_number_that_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    assign(journal, 1)

    def fail(_point: str) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        journal.commit(Commit("lake", None, {}, ()), fail)
    assert assign(journal, 2) == 1
    journal.plans.save(PLAN)
    journal.close()
    again = Journal.open(str(tmp_path))
    assert [again.identities.find(each) for each in (1, 2)] == [
        FileIdentity("a", b"f", number) for number in (0, 1)
    ]
    again.close()


def test_the_count_outlives_the_files(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    assign(journal, 1)
    journal.plans.save(PLAN)
    journal.segments.forget([1])
    journal.close()
    again = Journal.open(str(tmp_path))
    assert again.identities.find(1) is None
    assert assign(again, 2) == 1
    again.close()


def test_of_very_many_names_those_that_came_last_are_remembered(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    names = [bytes([number]) * 16 for number in range(5)]
    for number, name in enumerate(names):
        assign(journal, number, name)
    with journal.identities._database.transaction() as db:
        db.execute("UPDATE file_name SET day = 1")
    for number, name in enumerate(names[3:]):
        assert assign(journal, 10 + number, name) == 1
    journal.plans.save(PLAN)
    journal.identities.forget_old_names(2)
    assert [assign(journal, 20 + number, name) for number, name in enumerate(names)] == [
        0, 0, 0, 2, 2
    ]  # fmt: skip
    journal.close()


def test_what_was_recovered_is_counted_too(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    journal.identities.restore([(1, NAME, FileIdentity("a", b"f", 4))])
    assert journal.identities.find(1) == FileIdentity("a", b"f", 4)
    assert assign(journal, 2) == 5
    journal.close()
