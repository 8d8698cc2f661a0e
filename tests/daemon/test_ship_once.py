"""`ship --once`: all that is there, once, with an exit code that can be trusted."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter

import msgspec

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.servers.processes import wait_until
from tests.servers.receiving import ReceivingServer
from tracesidecar.journal import hold_lock, prepare_state_directory


def test_every_line_arrives_once_in_order_and_a_second_run_adds_nothing(sidecar: Sidecar) -> None:
    lines = number_lines(0, 5000)
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.call("ship", "--once").returncode == 0
    assert sidecar.lines() == lines
    assert sidecar.call("ship", "--once").returncode == 0
    assert sidecar.lines() == lines


def test_what_comes_later_is_shipped_by_the_next_run_alone(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.call("ship", "--once")
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    append(sidecar.traces / "b.jsonl", number_lines(100, 10))
    assert sidecar.call("ship", "--once").returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 20) + number_lines(100, 10))


def test_a_torn_last_line_waits_and_is_not_left_behind(sidecar: Sidecar) -> None:
    (sidecar.traces / "a.jsonl").write_bytes(b'{"n":1}\n{"n":')
    assert sidecar.call("ship", "--once").returncode == 0
    assert sidecar.lines() == [b'{"n":1}']
    append(sidecar.traces / "a.jsonl", [b"2}"])
    assert sidecar.call("ship", "--once").returncode == 0
    assert sidecar.lines() == [b'{"n":1}', b'{"n":2}']


def test_invalid_lines_are_quarantined_once_with_their_place_and_their_neighbours_arrive(
    sidecar: Sidecar,
) -> None:
    (sidecar.traces / "a.jsonl").write_bytes(b'{"n":1}\nnot json\n{"n":2}\n{"n":NaN}\n\n{"n":3}\n')
    assert sidecar.call("ship", "--once").returncode == 0
    assert sidecar.lines() == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
    rejected = sidecar.list_quarantined()
    assert [(line["start"], line["end"], line["reason"]) for line in rejected] == [
        (8, 16, "not_json"),
        (25, 34, "nan"),
    ]
    assert sidecar.call("ship", "--once", "--strict").returncode == 0, (
        "what an earlier run rejected does not count in this one"
    )


def test_strict_reports_that_lines_were_quarantined(sidecar: Sidecar) -> None:
    (sidecar.traces / "a.jsonl").write_bytes(b"not json\n")
    assert sidecar.call("ship", "--once", "--strict").returncode == 65


def test_nothing_to_do_is_done(sidecar: Sidecar) -> None:
    (sidecar.traces / "empty.jsonl").touch()
    assert sidecar.call("ship", "--once").returncode == 0
    assert sidecar.objects() == []


def test_a_dead_sink_leaves_a_list_and_exit_75(sidecar: Sidecar) -> None:
    sidecar.configure(
        '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n',
        daemon='drain_deadline = "2s"',
    )
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    ended = sidecar.call("ship", "--once", "--json")
    assert ended.returncode == 75
    outcome = json.loads(ended.stdout)
    assert outcome["reason"] == "left_behind"
    [left] = outcome["left"]
    assert (left["sink"], left["offset"], left["size"]) == ("far", 0, len(body(number_lines(0, 3))))


def test_one_dead_sink_does_not_keep_another_from_its_data(sidecar: Sidecar) -> None:
    dead = '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n'
    sidecar.configure(LAKE.format(lake=sidecar.lake) + dead, daemon='drain_deadline = "10s"')
    append(sidecar.traces / "a.jsonl", number_lines(0, 3000))
    assert sidecar.call("ship", "--once").returncode == 75
    assert sidecar.lines() == number_lines(0, 3000)


def test_a_state_directory_in_use_is_exit_75_with_the_reason(sidecar: Sidecar) -> None:
    prepare_state_directory(str(sidecar.state))
    with hold_lock(str(sidecar.state)):
        ended = sidecar.call("ship", "--once", "--json")
    assert ended.returncode == 75
    assert json.loads(ended.stdout)["reason"] == "locked"
    assert b"in use by process" in ended.stderr


def test_secrets_do_not_arrive_anywhere(sidecar: Sidecar) -> None:
    secret = "ghp_" + "aB3" * 12
    append(
        sidecar.traces / "a.jsonl",
        [
            json.dumps({"cmd": f"export GITHUB_TOKEN={secret}"}).encode(),
            f"broken {secret}".encode(),
        ],
    )
    assert sidecar.call("ship", "--once").returncode == 0
    assert sidecar.lines() == [b'{"cmd": "export GITHUB_TOKEN=[REDACTED:github-token]"}']
    originals = {
        path.stat().st_ino for path in sidecar.traces.iterdir()
    }  # rejected lines are kept by a link to their file
    everything = [
        path
        for root in (sidecar.lake, sidecar.state)
        for path in root.rglob("*")
        if path.is_file() and path.stat().st_ino not in originals
    ]
    assert [path for path in everything if secret.encode() in path.read_bytes()] == []


def test_the_manifest_proves_what_arrived(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    sidecar.call("ship", "--once")
    [path] = sidecar.lake.glob("_manifest/v1/dt=*/*.json")
    manifest = msgspec.json.decode(path.read_bytes())
    [data], [described] = sidecar.objects(), manifest["objects"]
    assert sidecar.lake / described["name"] == data
    assert described["sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert described["rows"] == 100
    [covered] = manifest["ranges"]
    assert (covered["start"], covered["end"], covered["lines"]) == (
        0,
        len(body(number_lines(0, 100))),
        100,
    )
    assert manifest["rules"]


def test_a_record_that_the_destination_rejects_is_quarantined_with_its_exact_location(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    sidecar.configure(f'[[sink]]\nname = "far"\ntype = "http"\nurl = "{receiver.url}"\n')
    receiver.order(poison="line 700")
    lines = [b"", b"broken", *number_lines(0, 1000)]
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.call("ship", "--once").returncode == 0
    kept = [line for line in receiver.read_kept_lines() if line]
    assert Counter(kept) == Counter(
        line for line in number_lines(0, 1000) if b"line 700" not in line
    )
    at = body(lines).index(b'{"n": 700,')
    rejected = {
        (line["sink"], line["start"], line["reason"]) for line in sidecar.list_quarantined()
    }
    assert rejected == {(None, 1, "not_json"), ("far", at, "bad_request")}


def test_a_deleted_archive_that_was_cut_is_read_to_its_end_and_then_over(sidecar: Sidecar) -> None:
    """What had been read of it without a newline was in no journal, and so its end was 0."""
    line = b'{"n":"%s"}' % hashlib.sha256(b"1").hexdigest().encode()
    packed = gzip.compress(line + b"\n" + hashlib.sha256(b"2").hexdigest().encode())
    path = sidecar.traces / "a.jsonl.gz"
    for length in range(len(packed)):
        unpacker = zlib.decompressobj(wbits=31)
        if unpacker.decompress(packed[:length]) == line:
            path.write_bytes(packed[:length])
            break
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == []
    path.unlink()
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == [line]
    # each scan of the next daemon had it read once more, and never found that it was over; a run
    # says so itself if the file was deleted some seconds before
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    wait_until(lambda: not list((sidecar.state / "held").iterdir()))
    assert sidecar.stop() == 0
    (source,) = json.loads(sidecar.ask("status", "--json").stdout)["sources"]
    assert source["lost_files_uncounted"] == 1


def test_a_delivered_file_that_was_moved_away_is_no_loss_in_later_runs(sidecar: Sidecar) -> None:
    """The first run sees by the link of the daemon that all of it has arrived, and removes it."""
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 3))
    sidecar.start()
    sidecar.arrives(3)
    assert sidecar.stop() == 0
    path.rename(sidecar.folder / "a.jsonl")
    for _ in range(2):
        assert sidecar.ship().returncode == 0
    (source,) = json.loads(sidecar.ask("status", "--json").stdout)["sources"]
    assert (source["lost_bytes"], source["lost_files_uncounted"]) == (0, 0)


def test_a_new_sink_may_start_now(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'start = "now"\n')
    sidecar.call("ship", "--once")
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    sidecar.call("ship", "--once")
    assert sidecar.lines() == number_lines(10, 10)


def test_a_changed_destination_under_an_old_name_is_rejected_without_a_start(
    sidecar: Sidecar,
) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.call("ship", "--once")
    sidecar.lake = sidecar.folder / "elsewhere"
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    ended = sidecar.call("ship", "--once")
    assert ended.returncode == 78
    assert b"used to deliver to" in ended.stderr
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'start = "beginning"\n')
    assert sidecar.call("ship", "--once").returncode == 0
    assert sidecar.lines() == number_lines(0, 10)
