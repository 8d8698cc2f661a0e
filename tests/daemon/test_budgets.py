"""Budgets of a source: at one of them it waits and says so, and other sources do not notice."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.servers.processes import wait_until
from tracesidecar.exit_codes import ExitCode

EVENTS = (
    '[[sink]]\nname = "lake"\ntype = "directory"\npath = "{lake}"\nformat = "event"\n'
    'batch = {{ age = "500ms", idle = "100ms" }}\n'
)
GOOD = '[[source]]\nname = "good"\ninclude = ["{good}/*.jsonl*"]\ncopy_grace = "500ms"\n'


def configure(sidecar: Sidecar, limits: str, sink: str = LAKE) -> None:
    """A hostile source `agent` with limits, and a good one beside it."""
    good = sidecar.folder / "good"
    good.mkdir(exist_ok=True)
    source = f"limits = {{ {limits} }}"
    sidecar.configure(sink.format(lake=sidecar.lake), source, more=GOOD.format(good=good))
    text = sidecar.config.read_text().replace('/**/*.jsonl"', '/**/*.jsonl*"')
    sidecar.config.write_text(text)


def read_metrics(sidecar: Sidecar) -> str:
    """Return the page, or nothing before it is there."""
    try:
        return sidecar.get("/metrics")[1].decode()
    except OSError:
        return ""


def list_reached(sidecar: Sidecar) -> list[str]:
    """Return the limits at which a source waits, by the metrics."""
    pattern = r'^tracesidecar_limit_reached{limit="(\w+)",source="agent"} 1.0$'
    return re.findall(pattern, read_metrics(sidecar), re.MULTILINE)


def test_few_bytes_of_many_days_become_few_objects(sidecar: Sidecar) -> None:
    configure(sidecar, "partitions = 64", EVENTS)
    today = dt.datetime.now(dt.UTC).date()
    days = [(today - dt.timedelta(days=ago)).isoformat() for ago in range(2300)]
    (sidecar.traces / "a.jsonl").write_text(
        "".join(f'{{"timestamp":"{day}T10:00:00Z","message":"{day}"}}\n' for day in days)
    )
    assert sidecar.ship().returncode == 0
    objects = list(sidecar.lake.glob("v1/dt=*/dialect=*/*"))
    assert len(objects) == 64
    assert min(each.parent.parent.name for each in objects) == f"dt={days[63]}"
    rows = [
        json.loads(line) for each in objects for line in gzip.decompress(each.read_bytes()).split()
    ]
    assert len(rows) == len(days)
    assert sum(row["event_time_source"] == "beyond_limit" for row in rows) == len(days) - 64
    sidecar.start()
    displaced = f'displaced_records_total{{source="agent"}} {float(len(days) - 64)}'
    wait_until(lambda: displaced in read_metrics(sidecar))
    assert sidecar.stop() == 0
    assert sidecar.ask("verify", "lake").returncode == 0


def test_a_bomb_waits_and_says_so_until_the_limit_is_raised(sidecar: Sidecar) -> None:
    configure(sidecar, "ratio = 20")
    lines = [f'{{"n":{number % 10}}}' for number in range(40_000)]
    (sidecar.traces / "bomb.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    sidecar.start()
    wait_until(lambda: list_reached(sidecar) == ["ratio"])
    good = sidecar.folder / "good" / "a.jsonl"
    good.write_text(body(number_lines(0, 3)).decode())
    wait_until(lambda: set(number_lines(0, 3)) <= set(sidecar.lines()))
    code, page = sidecar.get("/readyz")
    assert code == 503
    assert b"source agent: 1 file cannot be read to the end" in page
    (limit,) = json.loads(sidecar.get("/status")[1])["limits"]
    assert (limit["source"], limit["limit"], limit["allowed"]) == ("agent", "ratio", 20)
    told = sidecar.ask("status", "--json")
    assert told.returncode == 0, told.stderr
    sources = json.loads(told.stdout)["sources"]
    assert {each["name"]: len(each["limits"]) for each in sources} == {"agent": 1, "good": 0}
    assert "limits.ratio" in sidecar.ask("status").stdout.decode()
    sidecar.wait_for_event("source.limit_reached")
    assert len(sidecar.lines()) < 40_000
    assert sidecar.stop() == ExitCode.LEFT_BEHIND
    (end,) = [each for each in sidecar.events() if each["event"] == "drain.incomplete"]
    assert "limits.ratio" in str(end["problem"])
    configure(sidecar, "ratio = 20000")
    sidecar.start()
    wait_until(lambda: len(sidecar.lines()) == 40_003)
    assert list_reached(sidecar) == []
    assert sidecar.stop() == 0


def test_a_source_with_too_many_rejected_lines_waits_until_they_are_dropped(
    sidecar: Sidecar,
) -> None:
    configure(sidecar, 'rejected = "20KiB"')
    hostile, good = sidecar.traces / "a.jsonl", sidecar.folder / "good" / "a.jsonl"
    hostile.write_bytes(b"this is no JSON\n" * 100)
    sidecar.start()
    wait_until(lambda: list_reached(sidecar) == ["rejected"])
    append(hostile, number_lines(0, 2))
    append(good, number_lines(10, 2))
    sidecar.arrives(2)
    assert set(sidecar.lines()) == set(number_lines(10, 2))
    assert b"its rejected lines take 25.0 KiB" in sidecar.get("/readyz")[1]
    entries = [str(each["id"]) for each in sidecar.list_quarantined()]
    assert sidecar.call("quarantine", "drop", *entries).returncode == 0
    sidecar.arrives(4)
    assert set(sidecar.lines()) == set(number_lines(0, 2)) | set(number_lines(10, 2))
    wait_until(lambda: list_reached(sidecar) == [])
    sidecar.wait_for_event("source.limit_released")
    assert sidecar.stop() == 0


def test_a_line_of_a_source_that_rests_does_not_wait_for_one_that_writes_all_the_time(
    sidecar: Sidecar,
) -> None:
    patient = LAKE.replace("500ms", "10m").replace("100ms", "500ms")
    configure(sidecar, "files = 100000", patient)
    hostile, good = sidecar.traces / "a.jsonl", sidecar.folder / "good" / "a.jsonl"
    sidecar.start()
    sidecar.wait_for_event("sink.connected")
    append(good, number_lines(0, 1))
    written = 1

    def has_arrived() -> bool:
        nonlocal written
        append(hostile, number_lines(written, 1))  # so often that its own batch would never rest
        written += 1
        return number_lines(0, 1)[0] in sidecar.lines()

    wait_until(has_arrived)
    assert sidecar.stop() == 0
