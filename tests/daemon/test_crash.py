"""Killed at a named point, and the world changed before the next start."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.servers.processes import wait_until
from tests.servers.receiving import ReceivingServer

DRIVER = Path(__file__).resolve().parents[1] / "faults" / "driver.py"


def kill_at(sidecar: Sidecar, point: str) -> None:
    """Run the daemon until it kills itself at the point."""
    root = DRIVER.parents[2]
    with sidecar.log.open("ab") as log:
        ended = subprocess.run(
            [sys.executable, DRIVER, point, "1", sidecar.config],
            env=sidecar.environment(),
            cwd=root,
            stderr=log,
            timeout=600,
            check=False,
        )
    assert ended.returncode == -signal.SIGKILL, sidecar.log.read_text()


def events(sidecar: Sidecar, name: str) -> list[dict[str, object]]:
    return [event for event in sidecar.events() if event["event"] == name]


@pytest.mark.parametrize("point", ["read", "planned", "sending", "sent", "committing"])
def test_a_kill_at_any_point_loses_and_repeats_nothing(sidecar: Sidecar, point: str) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 1000))
    kill_at(sidecar, point)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 1000)


def test_what_was_sent_before_the_kill_counts_even_if_its_source_was_rewritten_meanwhile(
    sidecar: Sidecar,
) -> None:
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 100))
    kill_at(sidecar, "sent")
    path.write_bytes(body(number_lines(500, 100)))
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 100) + number_lines(500, 100)


def test_a_file_that_begins_like_the_planned_one_is_not_taken_for_it(sidecar: Sidecar) -> None:
    header = [json.dumps({"system": "the same for every session " * 200}).encode()]
    path = sidecar.traces / "a.jsonl"
    append(path, header + number_lines(0, 100))
    kill_at(sidecar, "sent")
    append(path, number_lines(100, 10))
    path.with_name("a.jsonl.1").write_bytes(path.read_bytes())
    path.write_bytes(body(header + number_lines(500, 200)))
    assert sidecar.ship().returncode == 0
    wanted = header + number_lines(0, 110) + header + number_lines(500, 200)
    assert sorted(sidecar.lines()) == sorted(wanted)


def test_what_was_planned_and_not_sent_is_reported_lost_when_its_source_is_gone(
    sidecar: Sidecar,
) -> None:
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 100))
    kill_at(sidecar, "planned")
    for held in (sidecar.state / "held").rglob("*"):
        held.unlink()
    path.write_bytes(body(number_lines(500, 100)))
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(500, 100)
    status = json.loads(sidecar.ask("status", "--json").stdout)
    assert status["sources"][0]["lost_bytes"] == len(body(number_lines(0, 100)))


def test_a_deleted_source_is_replayed_from_its_hard_link(sidecar: Sidecar) -> None:
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 100))
    kill_at(sidecar, "planned")
    path.unlink()
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 100)


def test_a_batch_interrupted_before_the_answer_is_repeated_over_http_under_its_own_key(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    sidecar.configure(
        f'[[sink]]\nname = "far"\ntype = "http"\nurl = "{receiver.url}"\n'
        f'batch = {{ idle = "100ms" }}\n'
    )
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    kill_at(sidecar, "sent")
    append(sidecar.traces / "a.jsonl", number_lines(100, 10))
    assert sidecar.ship().returncode == 0
    kept = [request for request in receiver.requests() if request.plain.strip()]
    assert len(kept) == 3
    assert kept[0].key == kept[1].key != kept[2].key
    assert kept[0].body == kept[1].body
    assert kept[2].plain == body(number_lines(100, 10))


def test_an_upgrade_between_plan_and_repeat_is_accepted_with_a_warning(sidecar: Sidecar) -> None:
    secret = "gh" + "p_" + "aB3" * 12
    append(sidecar.traces / "a.jsonl", [json.dumps({"token_was": secret}).encode()])
    kill_at(sidecar, "sent")
    sidecar.configure(
        LAKE.format(lake=sidecar.lake), more='[redaction]\nhmac_key = "another marker"\n'
    )
    sidecar.start()
    sidecar.wait_for_event("sink.repeat_differs")
    sidecar.wait_for_event("service.ready")
    assert sidecar.stop() == 0
    assert len(sidecar.lines()) == 1, "what was there under the planned digest is ours"


def test_a_foreign_object_under_our_name_stops_the_sink_and_is_reported(
    sidecar: Sidecar,
) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    kill_at(sidecar, "sent")
    [planted] = sidecar.objects()
    planted.chmod(0o644)
    planted.write_bytes(b"somebody else's")
    sidecar.start()
    sidecar.wait_for_event("sink.halted")
    assert sidecar.stop() == 75
    assert planted.read_bytes() == b"somebody else's"


def configure_far_sink(receiver: ReceivingServer, grace: str = "5s") -> tuple[str, str]:
    """One HTTP sink, and a source that waits so long for what is missing."""
    return (
        (
            f'[[sink]]\nname = "far"\ntype = "http"\nurl = "{receiver.url}"\n'
            f'batch = {{ idle = "100ms" }}\n'
        ),
        f'copy_grace = "{grace}"',
    )


def configure(sidecar: Sidecar, receiver: ReceivingServer, grace: str) -> None:
    sinks, source = configure_far_sink(receiver, grace)
    sidecar.configure(sinks)
    sidecar.config.write_text(sidecar.config.read_text().replace('copy_grace = "500ms"', source))


def remove_links(sidecar: Sidecar) -> None:
    for held in (sidecar.state / "held").iterdir():
        held.unlink()


def test_a_file_that_is_missing_at_the_start_and_found_later_is_repeated_under_its_own_key(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    configure(sidecar, receiver, "1m")
    path, aside = sidecar.traces / "a.jsonl", sidecar.folder / "aside"
    append(path, number_lines(0, 100))
    kill_at(sidecar, "sent")
    remove_links(sidecar)
    path.rename(aside)
    sidecar.start()
    sidecar.wait_for_event("sink.plan_waits_for_source")
    aside.rename(path)
    wait_until(lambda: len(receiver.requests()) >= 2)
    assert sidecar.stop() == 0
    first, again = receiver.requests()
    assert (first.key, first.plain) == (again.key, again.plain)


def test_what_is_left_of_a_plan_whose_other_file_was_rewritten_goes_under_its_key(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    configure(sidecar, receiver, "500ms")
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    append(sidecar.traces / "b.jsonl", number_lines(200, 100))
    kill_at(sidecar, "sent")
    remove_links(sidecar)
    (sidecar.traces / "a.jsonl").write_bytes(body(number_lines(500, 100)))
    assert sidecar.ship().returncode == 0
    first, again, new = receiver.requests()
    assert first.key == again.key != new.key
    assert again.plain == body(number_lines(200, 100))
    assert new.plain == body(number_lines(500, 100))


def test_a_line_that_the_destination_rejects_after_its_source_was_rewritten_is_still_quarantined(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    configure(sidecar, receiver, "500ms")
    receiver.order(answers=[{"status": 503, "headers": {"Retry-After": "2"}}], poison="line 7")
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(7, 1))
    sidecar.start()
    sidecar.wait_for_event("sink.retry")
    path.write_bytes(body(number_lines(500, 1)))
    wait_until(sidecar.list_quarantined)
    assert sidecar.stop() == 0
    [entry] = sidecar.list_quarantined()
    assert (entry["sink"], entry["start"]) == ("far", 0)
