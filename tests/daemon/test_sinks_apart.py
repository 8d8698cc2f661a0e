"""One sink's trouble stays its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.servers.processes import wait_until
from tests.servers.receiving import ReceivingServer

FAULTY = Path(__file__).resolve().parents[1] / "faults" / "faulty_sink.py"
DEAD = '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n'


def start_faulty(sidecar: Sidecar) -> None:
    with sidecar.log.open("ab") as log:
        sidecar.daemon = subprocess.Popen(
            [sys.executable, FAULTY, sidecar.config],
            env=sidecar.environment(),
            cwd=FAULTY.parents[2],
            stderr=log,
        )


def memory(sidecar: Sidecar, which: str) -> int:
    """Resident memory in bytes, `VmRSS` or the peak `VmHWM`."""
    assert sidecar.daemon is not None
    status = Path(f"/proc/{sidecar.daemon.pid}/status").read_text()
    return next(
        int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(which)
    )


def test_a_bug_in_one_sink_restarts_it_alone_and_reveals_no_content(
    sidecar: Sidecar,
) -> None:
    faulty = '[[sink]]\nname = "odd"\ntype = "faulty"\nbatch = { idle = "50ms" }\n'
    sidecar.configure(LAKE.format(lake=sidecar.lake) + faulty)
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    start_faulty(sidecar)
    sidecar.wait_for_event("sink.restarting")
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    sidecar.arrives(20)
    wait_until(
        lambda: b'tracesidecar_delivered_lines_total{sink="odd"} 20.0' in sidecar.get("/metrics")[1]
    )
    assert sidecar.stop() == 0
    assert sidecar.lines() == number_lines(0, 20)
    events = sidecar.events()
    assert [event["sink"] for event in events if event["event"] == "sink.restarting"] == ["odd"]
    assert [event["sink"] for event in events if event["event"] == "sink.connected"].count(
        "lake"
    ) == 1
    assert b"line 3" not in sidecar.log.read_bytes()


def test_a_record_on_which_a_sink_fails_is_rejected_and_holds_nothing_up(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(
        '[[sink]]\nname = "odd"\ntype = "faulty"\nfailures = 0\npoison = "line 3"\n'
        'batch = { idle = "50ms" }\n'
    )
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    start_faulty(sidecar)
    sidecar.wait_for_event("sink.not_encodable")
    wait_until(
        lambda: b'tracesidecar_delivered_lines_total{sink="odd"} 9.0' in sidecar.get("/metrics")[1]
    )
    append(sidecar.traces / "a.jsonl", number_lines(3, 1))  # alone, by a sink that is known to work
    rejected = b'quarantined_lines_total{reason="not_encodable",source="agent"} 2.0'
    wait_until(lambda: rejected in sidecar.get("/metrics")[1])
    assert sidecar.stop() == 0
    events = [event for event in sidecar.events() if event["event"] == "sink.not_encodable"]
    assert [(event["sink"], event["records"]) for event in events] == [("odd", 1)] * 2
    assert b"line 3" not in sidecar.log.read_bytes()


def test_a_big_file_does_not_keep_small_ones_waiting(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    sink = (
        f'[[sink]]\nname = "far"\ntype = "http"\nurl = "{receiver.url}"\n'
        f'batch = {{ bytes = "8MiB", lines = 1000000 }}\n'
    )
    sidecar.configure(sink)
    line = b'{"n":1,"text":"' + b"word " * 200_000 + b'"}'
    with (sidecar.traces / "0-big.jsonl").open("wb") as file:
        file.writelines(line + b"\n" for _ in range(300))
    for number in range(50):
        append(sidecar.traces / f"small-{number}.jsonl", number_lines(number, 1))
    sidecar.start()
    small = {entry for number in range(50) for entry in number_lines(number, 1)}
    wait_until(
        lambda: (
            small
            <= {entry for request in receiver.requests() for entry in request.plain.split(b"\n")}
        )
    )
    first = next(
        index
        for index, request in enumerate(receiver.requests())
        if small & set(request.plain.split(b"\n"))
    )
    assert first == 0, "the small files are in the first batches, in turn with the big one"
    assert sum(len(request.plain) for request in receiver.requests()) < 300 << 20


def test_a_dead_sink_leaves_memory_flat_and_the_other_sinks_undisturbed(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + DEAD)
    lines = [b'{"n":1,"text":"' + b"word " * 20_000 + b'"}'] * 100
    path = sidecar.traces / "a.jsonl"
    path.write_bytes(body(lines))
    sidecar.start()
    sidecar.arrives(100)
    sidecar.wait_for_event("sink.retry")
    before = memory(sidecar, "VmRSS")
    for total in range(2, 13):
        with path.open("ab") as file:
            file.write(body(lines))
        sidecar.arrives(total * 100)
    assert memory(sidecar, "VmRSS") - before < 24 << 20, (
        "a hundred megabytes went by; what waits for the dead sink waits on disk"
    )
    assert sidecar.stop(signal.SIGKILL) == -9
