"""Rejected lines are redriven once, or dropped; until then their bytes are kept."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import msgspec
import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.daemon.test_crash import kill_at
from tests.servers.processes import wait_until
from tests.servers.receiving import ReceivingServer

NAN = b'{"loss":NaN}'
FIXED = b'{"loss":null}'


@pytest.fixture
def rejecting(sidecar: Sidecar) -> Sidecar:
    """A file is shipped but for a line with NaN in its middle; since then the configuration says
    `repair`.
    """
    append(sidecar.traces / "a.jsonl", [*number_lines(0, 3), NAN, *number_lines(3, 3)])
    assert sidecar.ship().returncode == 0
    sidecar.configure(LAKE.format(lake=sidecar.lake), source="repair = true")
    return sidecar


def list_held(sidecar: Sidecar) -> list[Path]:
    return list((sidecar.state / "held").iterdir())


def redrive(sidecar: Sidecar, *words: str) -> dict[str, object]:
    ended = sidecar.call("quarantine", "redrive", "--json", *(words or ("--all",)))
    return dict(msgspec.json.decode(ended.stdout))


def test_a_line_that_the_current_rules_accept_arrives_once_and_leaves_the_quarantine(
    rejecting: Sidecar,
) -> None:
    assert redrive(rejecting) == {"asked": [1], "bytes_gone": [], "no_sink": [], "running": False}
    assert [entry["redrive"] for entry in rejecting.list_quarantined()] == [["lake"]]
    for _ in range(2):
        assert rejecting.ship().returncode == 0
        assert rejecting.lines() == [*number_lines(0, 6), FIXED]
        assert rejecting.list_quarantined() == []
    explained = json.loads(
        rejecting.ask("explain", str(rejecting.traces / "a.jsonl"), "--json").stdout
    )
    [ranges] = explained["ranges"]
    assert [(piece["start"], piece["state"]) for piece in ranges["pieces"]] == [(0, "delivered")]


def test_a_line_over_a_limit_that_was_raised_arrives(sidecar: Sidecar) -> None:
    long = json.dumps({"a": "x" * 5000}).encode()
    sidecar.configure(LAKE.format(lake=sidecar.lake), source='max_line = "4KiB"')
    append(sidecar.traces / "a.jsonl", [*number_lines(0, 3), long])
    sidecar.ship()
    redrive(sidecar)
    sidecar.ship()
    assert [(entry["reason"], entry["redrive"]) for entry in sidecar.list_quarantined()] == [
        ("too_long", [])
    ], "rejected again, and the request is over"
    sidecar.configure(LAKE.format(lake=sidecar.lake), source='max_line = "8KiB"')
    redrive(sidecar)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == [*number_lines(0, 3), long]
    assert sidecar.list_quarantined() == []


def test_the_running_daemon_serves_a_redrive_and_only_the_sink_that_rejected_gets_the_line(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    far = (
        f'[[sink]]\nname = "far"\ntype = "http"\nurl = "{receiver.url}"\n'
        f'batch = {{ idle = "100ms" }}\n'
    )
    sidecar.configure(LAKE.format(lake=sidecar.lake) + far)
    receiver.order(poison="line 2")
    append(sidecar.traces / "a.jsonl", number_lines(0, 5))
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    wait_until(lambda: len(sidecar.list_quarantined()) == 1)
    receiver.order()
    assert redrive(sidecar, "1") == {"asked": [1], "bytes_gone": [], "no_sink": [], "running": True}
    wait_until(lambda: sidecar.list_quarantined() == [])
    append(sidecar.traces / "a.jsonl", number_lines(5, 1))
    sidecar.arrives(6)
    assert sidecar.stop() == 0
    assert sidecar.lines() == number_lines(0, 6)
    kept = [line for line in receiver.read_kept_lines() if line]
    assert sorted(kept) == sorted(number_lines(0, 6))


@pytest.mark.parametrize("point", ["planned", "sending", "sent", "committing"])
def test_a_kill_in_the_middle_of_a_redrive_loses_and_repeats_nothing(
    rejecting: Sidecar, point: str
) -> None:
    redrive(rejecting)
    kill_at(rejecting, point)
    assert len(rejecting.list_quarantined()) == 1
    assert rejecting.ship().returncode == 0
    assert rejecting.lines() == [*number_lines(0, 6), FIXED]
    assert rejecting.list_quarantined() == []


def test_a_redriven_line_that_the_rules_reject_again_is_in_quarantine_again(
    rejecting: Sidecar,
) -> None:
    redrive(rejecting)
    kill_at(rejecting, "planned")
    rejecting.configure(LAKE.format(lake=rejecting.lake))
    assert rejecting.ship().returncode == 0
    assert rejecting.lines() == number_lines(0, 6)
    assert [(entry["reason"], entry["redrive"]) for entry in rejecting.list_quarantined()] == [
        ("nan", [])
    ]


def test_a_deleted_file_is_kept_for_its_rejected_line_until_the_line_is_delivered(
    rejecting: Sidecar,
) -> None:
    (rejecting.traces / "a.jsonl").unlink()
    assert rejecting.ship().returncode == 0
    assert [entry["bytes"] for entry in rejecting.list_quarantined()] == ["in the file"]
    assert len(list_held(rejecting)) == 1
    redrive(rejecting)
    assert rejecting.ship().returncode == 0
    assert rejecting.lines() == [*number_lines(0, 6), FIXED]
    assert list_held(rejecting) == []


def test_a_running_daemon_keeps_a_deleted_file_for_its_rejected_line_until_that_is_dropped(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source='protect = "behind"')
    append(sidecar.traces / "a.jsonl", [*number_lines(0, 3), b"broken"])
    sidecar.start()
    sidecar.arrives(3)
    wait_until(lambda: len(sidecar.list_quarantined()) == 1)
    (sidecar.traces / "a.jsonl").unlink()
    append(sidecar.traces / "b.jsonl", number_lines(3, 3))
    sidecar.arrives(6)
    append(sidecar.traces / "c.jsonl", [b"broken too"])
    wait_until(lambda: len(sidecar.list_quarantined()) == 2)
    assert [entry["bytes"] for entry in sidecar.list_quarantined()] == [
        "in the file",
        "in the file",
    ]
    assert json.loads(sidecar.get("/status")[1])["sinks"][0]["lag_bytes"] == 0
    assert sidecar.call("quarantine", "drop", "1", "2").returncode == 0
    wait_until(lambda: list_held(sidecar) == [])
    assert sidecar.list_quarantined() == []
    assert sidecar.stop() == 0


def test_a_finished_file_without_rejected_lines_is_not_kept(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    assert sidecar.ship().returncode == 0
    assert list_held(sidecar) == []


def test_lines_of_a_rewritten_file_are_reported_gone_and_cannot_be_redriven(
    rejecting: Sidecar,
) -> None:
    (rejecting.traces / "a.jsonl").write_bytes(body(number_lines(100, 50)))
    assert rejecting.ship().returncode == 0
    assert [entry["bytes"] for entry in rejecting.list_quarantined()] == ["bytes gone"]
    ended = rejecting.call("quarantine", "redrive", "1")
    assert ended.returncode == 75
    assert b"1: bytes gone" in ended.stderr
    assert b"bytes gone" in rejecting.ask("quarantine", "list").stdout


def test_bytes_that_changed_in_place_unseen_are_found_gone_by_the_redrive(
    rejecting: Sidecar,
) -> None:
    with (rejecting.traces / "a.jsonl").open("r+b") as file:
        file.seek(len(body(number_lines(0, 3))))
        file.write(b'{"loss":1.0}')
    redrive(rejecting)
    rejecting.ship()
    assert [(entry["bytes"], entry["redrive"]) for entry in rejecting.list_quarantined()] == [
        ("bytes gone", [])
    ]
    assert FIXED not in rejecting.lines()


def test_a_redrive_that_a_dead_sink_cannot_take_is_left_behind(rejecting: Sidecar) -> None:
    rejecting.configure(
        '[[sink]]\nname = "lake"\ntype = "http"\nurl = "http://127.0.0.1:9/"\nstart = "now"\n',
        source="repair = true",
        daemon='drain_deadline = "2s"',
    )
    redrive(rejecting)
    ended = rejecting.ship("--json")
    assert ended.returncode == 75
    [left] = json.loads(ended.stdout)["left"]
    assert (left["sink"], left["offset"], left["size"]) == (
        "lake",
        len(body(number_lines(0, 3))),
        len(body(number_lines(0, 3))) + len(NAN),
    )


def test_lines_that_a_redrive_rejects_do_not_count_for_strict(rejecting: Sidecar) -> None:
    rejecting.configure(LAKE.format(lake=rejecting.lake))
    redrive(rejecting)
    assert rejecting.ship("--strict").returncode == 0


@pytest.mark.parametrize(
    "words",
    [("redrive",), ("redrive", "1", "--all"), ("redrive", "4711"), ("drop",), ("drop", "4711")],
    ids=" ".join,
)
def test_wrong_usage_is_reported(rejecting: Sidecar, words: tuple[str, ...]) -> None:
    assert rejecting.call("quarantine", *words).returncode == 64


def test_a_daemon_that_was_killed_with_requests_open_takes_them_up_when_it_is_back(
    rejecting: Sidecar,
) -> None:
    daemon = rejecting.start()
    rejecting.wait_for_event("service.ready")
    daemon.send_signal(signal.SIGKILL)
    daemon.wait(600)
    redrive(rejecting)
    rejecting.start()
    rejecting.arrives(7)
    wait_until(lambda: rejecting.list_quarantined() == [])
    assert rejecting.stop() == 0


def test_a_line_whose_file_cannot_be_reached_is_waited_for(rejecting: Sidecar) -> None:
    away = rejecting.folder / "away"
    append(rejecting.traces / "b.jsonl", number_lines(6, 1))
    redrive(rejecting)
    for link in list_held(rejecting):
        link.unlink()
    (rejecting.traces / "a.jsonl").rename(away)
    rejecting.config.write_text(
        rejecting.config.read_text().replace('copy_grace = "500ms"', 'copy_grace = "5m"')
    )
    rejecting.start()
    rejecting.arrives(7)
    assert [(entry["redrive"], entry["bytes"]) for entry in rejecting.list_quarantined()] == [
        (["lake"], "bytes gone")
    ]
    away.rename(rejecting.traces / "a.jsonl")
    rejecting.arrives(8)
    wait_until(lambda: rejecting.list_quarantined() == [])
    assert rejecting.stop() == 0


@pytest.mark.long
def test_a_part_of_a_streamed_message_is_not_delivered_by_itself(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    def event(**body: object) -> bytes:
        return json.dumps({"type": "stream_event", "event": body, "session_id": "s"}).encode()

    def delta(text: str) -> bytes:
        return event(
            type="content_block_delta", index=0, delta={"type": "text_delta", "text": text}
        )

    secret = "gh" + "p_" + "aB3" * 12
    sidecar.configure(f'[[sink]]\nname = "far"\ntype = "http"\nurl = "{receiver.url}"\n')
    receiver.order(poison="poison")
    append(
        sidecar.traces / "a.jsonl",
        [
            *number_lines(0, 2),
            delta("the token is " + secret[:20]),
            delta(secret[20:] + " poison"),
            event(type="content_block_stop", index=0),
            event(type="message_stop"),
        ],
    )
    sidecar.ship()
    assert len(sidecar.list_quarantined()) == 1
    receiver.order()
    redrive(sidecar)
    sidecar.ship()
    [entry] = sidecar.list_quarantined()
    assert (entry["reason"], entry["redrive"]) == ("redaction_failed", [])
    assert not any(secret[20:] in line.decode() for line in receiver.read_kept_lines())
