"""Requests to redrive rejected lines.

A line is given once to each sink, and its row is removed when no sink has to deliver it any more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tracesidecar.journal.journal import Commit, Journal
from tracesidecar.journal.quarantine import QuarantinedLine
from tracesidecar.model import Checkpoint


def ignore(_point: str) -> None:
    return None


def make_rejected(start: int = 4, sink: str = "", reason: str = "not_json") -> QuarantinedLine:
    return QuarantinedLine(1, sink, start, start + 3, "agent", "/traces/a.jsonl", 0, reason, b"k")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal.open(str(tmp_path))
    for name in ("lake", "far"):
        journal.sinks.begin(name, name, {})
        journal.commit(Commit(name, None, {1: Checkpoint(10, b"t")}, (make_rejected(),)), ignore)
    return journal


def rows(journal: Journal) -> list[tuple[str, int, str]]:
    return [
        (entry.line.sink, entry.line.start, entry.line.reason)
        for entry in journal.quarantine.load()
    ]


def deliver(journal: Journal, sink: str, *again: QuarantinedLine) -> int:
    entries = tuple(entry.id for entry in journal.quarantine.load_requested(sink))
    assert entries
    return journal.commit(Commit(sink, None, {}, again, redriven=entries), ignore)


def test_a_line_is_requested_of_each_sink_until_all_have_it(journal: Journal) -> None:
    [entry] = journal.quarantine.load()
    journal.redrive_requests.add({entry.id: ["lake", "far"]})
    assert journal.redrive_requests.load() == {entry.id: ("far", "lake")}
    deliver(journal, "lake")
    assert (
        journal.quarantine.load_requested("lake"),
        journal.quarantine.load_requested("far"),
    ) == ([], [entry])
    deliver(journal, "far")
    assert journal.quarantine.load() == []
    assert journal.redrive_requests.load() == {}


def test_a_sink_that_has_the_line_is_not_given_it_again_when_another_rejected_it(
    journal: Journal,
) -> None:
    [entry] = journal.quarantine.load()
    journal.redrive_requests.add({entry.id: ["lake", "far"]})
    journal.redrive_requests.reject("far", [(entry.id, "too_long")], ())
    deliver(journal, "lake")
    assert rows(journal) == [("", 4, "too_long")]
    journal.redrive_requests.add({entry.id: ["lake", "far"]})
    assert (
        journal.quarantine.load_requested("lake"),
        len(journal.quarantine.load_requested("far")),
    ) == ([], 1)
    deliver(journal, "far")
    assert rows(journal) == []


def test_a_line_that_the_destination_rejects_then_is_a_row_of_that_sink(journal: Journal) -> None:
    [entry] = journal.quarantine.load()
    journal.redrive_requests.add({entry.id: ["lake", "far"]})
    assert deliver(journal, "far", make_rejected(sink="far", reason="bad_request")) == 1
    deliver(journal, "lake")
    assert rows(journal) == [("far", 4, "bad_request")]


def test_a_line_that_its_sink_rejects_again_keeps_its_row_with_the_new_reason(
    journal: Journal,
) -> None:
    journal.commit(
        Commit("far", None, {1: Checkpoint(20, b"t")}, (make_rejected(14, "far"),)), ignore
    )
    entry = journal.quarantine.load()[1]
    journal.redrive_requests.add({entry.id: ["far"]})
    assert deliver(journal, "far", make_rejected(14, "far", "too_big")) == 0
    assert rows(journal)[1] == ("far", 14, "too_big")
    assert journal.redrive_requests.load() == {}


def test_a_redriven_line_that_validation_rejects_now_keeps_its_row(journal: Journal) -> None:
    [entry] = journal.quarantine.load()
    journal.redrive_requests.add({entry.id: ["lake"]})
    deliver(journal, "lake", make_rejected(reason="too_deep"))
    assert rows(journal) == [("", 4, "too_deep")]
    assert journal.redrive_requests.load() == {}


def test_a_redrive_moves_no_offset(journal: Journal) -> None:
    [entry] = journal.quarantine.load()
    journal.redrive_requests.add({entry.id: ["lake"]})
    before = journal.sinks.load_offsets("lake")
    deliver(journal, "lake")
    assert journal.sinks.load_offsets("lake") == before


@pytest.mark.parametrize("is_rejected_again", [True, False])
def test_a_sink_that_was_behind_and_passes_the_line_as_usual_is_not_given_it_twice(
    journal: Journal, is_rejected_again: bool
) -> None:
    journal.commit(Commit("lake", None, {1: Checkpoint(40, b"t")}, (make_rejected(30),)), ignore)
    entry = journal.quarantine.load()[1]
    journal.redrive_requests.add({entry.id: ["lake", "far"]})
    deliver(journal, "lake")
    journal.commit(
        Commit(
            "far",
            None,
            {1: Checkpoint(40, b"t")},
            (make_rejected(30),) if is_rejected_again else (),
        ),
        ignore,
    )
    assert [requested.id for requested in journal.quarantine.load_requested("far")] == (
        [entry.id] if is_rejected_again else []
    )
    assert len(journal.quarantine.load()) == 1 + is_rejected_again


def test_lines_whose_bytes_are_gone_retain_no_segment_and_are_not_requested_again(
    journal: Journal,
) -> None:
    [entry] = journal.quarantine.load()
    assert journal.quarantine.list_segments() == {1}
    journal.redrive_requests.add({entry.id: ["lake"]})
    journal.redrive_requests.reject("lake", (), [entry.id])
    assert journal.quarantine.load_requested("lake") == []
    assert [kept.is_gone for kept in journal.quarantine.load()] == [True]
    assert journal.quarantine.list_segments() == frozenset()


def test_requests_for_a_sink_that_is_no_longer_configured_are_forgotten(journal: Journal) -> None:
    [entry] = journal.quarantine.load()
    journal.redrive_requests.add({entry.id: ["lake", "far"]})
    deliver(journal, "lake")
    journal.redrive_requests.forget_other_sinks(["lake"])
    assert journal.quarantine.load() == []


def test_a_dropped_line_is_not_requested_any_more_and_its_id_is_not_used_again(
    journal: Journal,
) -> None:
    [entry] = journal.quarantine.load()
    journal.redrive_requests.add({entry.id: ["lake"]})
    journal.quarantine.drop([entry.id])
    assert (journal.quarantine.load(), journal.quarantine.load_requested("lake")) == ([], [])
    journal.commit(Commit("lake", None, {}, (make_rejected(50),)), ignore)
    [next_entry] = journal.quarantine.load()
    assert next_entry.id > entry.id


def test_a_line_that_was_dropped_while_it_was_being_sent_stays_dropped(journal: Journal) -> None:
    [entry] = journal.quarantine.load()
    journal.quarantine.drop([entry.id])
    journal.commit(Commit("lake", None, {}, (), redriven=(entry.id,)), ignore)
    assert journal.quarantine.load() == []


def test_a_request_of_another_process_is_noticed(tmp_path: Path, journal: Journal) -> None:
    [entry] = journal.quarantine.load()
    assert [journal.has_changed(), journal.has_changed()] == [True, False]
    beside = Journal.open_to_request(str(tmp_path))
    beside.redrive_requests.add({entry.id: ["lake"]})
    beside.close()
    assert [journal.has_changed(), journal.has_changed()] == [True, False]
    assert journal.quarantine.load_requested("lake") == [entry]
