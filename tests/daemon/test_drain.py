"""A drain delivers all that is there, or says what it did not."""

from __future__ import annotations

import gzip
import json
import signal
import sqlite3
import time

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.servers.processes import wait_until

OVERRUN_SECONDS = 4.0
"""How late a machine under load may be; each wait for the lock would be 5 seconds."""

UNCONNECTED = (
    '[[sink]]\nname = "far"\ntype = "syslog"\nhost = "127.0.0.1"\nport = 9\ntransport = "tcp"\n'
    'format = "raw"\n'
)
DEAD = '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n'


def count_lost_bytes(sidecar: Sidecar) -> int:
    status = json.loads(sidecar.ask("status", "--json").stdout)
    return int(status["sources"][0]["lost_bytes"])


def test_an_archive_is_shipped_to_its_end_although_nobody_knows_its_length_before(
    sidecar: Sidecar,
) -> None:
    sidecar.config.write_text(sidecar.config.read_text().replace("**/*.jsonl", "**/*.jsonl*"))
    lines = number_lines(0, 100_000)
    (sidecar.traces / "a.jsonl.gz").write_bytes(gzip.compress(body(lines)))
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines


@pytest.mark.long
def test_bytes_that_were_deleted_before_they_could_be_read_are_lost_and_no_unfinished_line(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + DEAD, daemon='drain_deadline = "10s"')
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 10))
    assert sidecar.ship().returncode == 75
    for held in (sidecar.state / "held").iterdir():
        held.unlink()
    size = path.stat().st_size
    path.unlink()
    assert sidecar.ship().returncode == 0
    assert count_lost_bytes(sidecar) == size, (
        "the lake has it all, the other sink has nothing of it"
    )


@pytest.mark.long
def test_what_is_not_decided_before_the_deadline_is_left_behind(sidecar: Sidecar) -> None:
    sidecar.configure(DEAD, source='copy_grace = "1h"', daemon='drain_deadline = "1s"')
    sidecar.config.write_text(sidecar.config.read_text().replace('copy_grace = "500ms"\n', ""))
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 10))
    assert sidecar.ship().returncode == 75
    for held in (sidecar.state / "held").iterdir():
        held.unlink()
    path.unlink()
    assert sidecar.ship().returncode == 75


def test_more_sinks_than_the_memory_has_buffers_for_get_their_lines_one_piece_at_a_time(
    sidecar: Sidecar,
) -> None:
    names = [f"lake{number}" for number in range(5)]
    sinks = (
        LAKE.format(lake=sidecar.folder / name).replace('"lake"', f'"{name}"') for name in names
    )
    sidecar.configure("".join(sinks), daemon='memory_limit = "4MiB"')
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    assert sidecar.ship().returncode == 0
    for name in names:
        sidecar.lake = sidecar.folder / name
        assert sidecar.lines() == number_lines(0, 10)


def test_ship_once_ends_at_the_first_sigterm(sidecar: Sidecar) -> None:
    sidecar.configure(DEAD, daemon='drain_deadline = "10m"')
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start("ship", "--once")
    sidecar.wait_for_event("sink.retry")
    assert sidecar.stop(signal.SIGTERM) == 75


def test_a_deleted_file_that_no_sink_takes_is_released(sidecar: Sidecar) -> None:
    other = sidecar.folder / "other"
    other.mkdir()
    more = f'[[source]]\nname = "other"\ninclude = ["{other}/*.jsonl"]\ncopy_grace = "100ms"\n'
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'sources = ["agent"]\n', more=more)
    path = other / "b.jsonl"
    append(path, number_lines(0, 5))
    sidecar.start()
    wait_until(lambda: list(sidecar.state.glob("held/*")))
    path.unlink()
    wait_until(lambda: not list(sidecar.state.glob("held/*")))
    assert sidecar.stop() == 0


def test_nothing_to_deliver_is_no_reason_to_wait_for_a_sink_that_cannot_connect(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(UNCONNECTED, daemon='drain_deadline = "10m"')
    sidecar.start()
    sidecar.wait_for_event("sink.retry")
    assert sidecar.stop() == 0


def test_a_sink_that_cannot_connect_is_waited_for_if_it_lacks_something(sidecar: Sidecar) -> None:
    sidecar.configure(UNCONNECTED, daemon='drain_deadline = "1s"')
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.wait_for_event("sink.retry")
    assert sidecar.stop() == 75


@pytest.mark.long
def test_the_deadline_is_absolute_while_another_process_locks_the_journal(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), daemon='drain_deadline = "2s"')
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    other = sqlite3.connect(sidecar.state / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.wait_for_event("collect.scan_failed")
    began = time.monotonic()
    code = sidecar.stop()
    seconds = time.monotonic() - began
    other.close()
    assert code == 75
    assert seconds < 2 + OVERRUN_SECONDS
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 10)


def test_a_line_in_utf_16_without_a_newline_is_named_as_such(sidecar: Sidecar) -> None:
    (sidecar.traces / "a.jsonl").write_bytes('{"a":"one"}'.encode("utf-16"))
    (sidecar.traces / "b.jsonl").write_bytes('{"a":"one"}\n{"b":"two"}'.encode("utf-16-le"))
    (sidecar.traces / "c.jsonl").write_bytes('{"a":"one"}'.encode("utf-16-be"))
    (sidecar.traces / "d.jsonl").write_bytes(b'{"a":"unfinished"}')
    assert sidecar.ship().returncode == 0
    document = json.loads(sidecar.ask("quarantine", "list", "--json").stdout)
    assert [entry["reason"] for entry in document["quarantine"]] == ["utf16"] * 4
