"""Events where something goes wrong: killed with a plan, reconfigured, rejected, or begun in
mid-file.
"""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.daemon.test_crash import kill_at
from tests.daemon.test_events import event_lake, events
from tests.daemon.test_redrive import redrive
from tests.dialects.golden import FIXTURES
from tests.servers.processes import wait_until
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import SECRET

CODEX = max((FIXTURES / "codex").rglob("*.jsonl"), key=lambda path: path.stat().st_size)


def put(sidecar: Sidecar, fixture: Path, dialect: str) -> Path:
    """Lay a fixture where its agent would write it."""
    target = sidecar.traces / fixture.relative_to(FIXTURES / dialect)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(fixture, target)
    return target


def lake(sidecar: Sidecar, form: str, more: str = "") -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + f'format = "{form}"\n{more}\n')


def in_order(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(
        rows,
        key=lambda row: (
            str(row["source_file"]),
            int(str(row["source_line"])),
            str(row["event_id"]),
        ),
    )


def test_a_plan_of_events_is_finished_after_the_sink_was_changed_to_lines(sidecar: Sidecar) -> None:
    lake(sidecar, "event")
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    kill_at(sidecar, "planned")
    lake(sidecar, "raw")
    sidecar.start()
    wait_until(lambda: len(sidecar.lines()) == 10 or sidecar.has_ended())
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    sidecar.arrives(20)
    assert sidecar.stop() == 0
    assert sidecar.ask("verify", "lake").returncode == 0


def test_a_sink_of_lines_becomes_one_of_events_while_the_daemon_runs(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    daemon = sidecar.start()
    sidecar.arrives(10)
    lake(sidecar, "event")
    daemon.send_signal(signal.SIGHUP)
    sidecar.wait_for_event("reload.done")
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    sidecar.arrives(20)
    assert sidecar.stop() == 0
    assert not [event for event in sidecar.events() if event["event"] == "sink.restarting"]
    rows = [json.loads(line) for line in sidecar.lines()]
    assert [row["source_line"] for row in rows if "source_line" in row] == list(range(11, 21))


def test_a_long_line_with_a_number_that_no_double_holds_does_not_stop_the_sink(
    sidecar: Sidecar,
) -> None:
    lake(sidecar, "event")
    append(
        sidecar.traces / "a.jsonl",
        [b'{"n":1e999,"text":"' + b"word " * 200_000 + b'"}', *number_lines(1, 1)],
    )
    assert sidecar.ship().returncode == 0
    assert [row["source_line"] for row in events(sidecar)] == [1, 2]
    assert sidecar.list_quarantined() == []


def test_a_state_that_cannot_be_read_does_not_stop_the_sink(sidecar: Sidecar) -> None:
    event_lake(sidecar)
    path = put(sidecar, CODEX, "codex")
    lines = path.read_bytes().splitlines()
    path.unlink()
    append(path, lines[:-3])
    assert sidecar.ship().returncode == 0
    with sqlite3.connect(sidecar.state / "journal.sqlite") as journal:
        journal.execute("UPDATE offset SET state = x'93a161c3c4'")
    append(path, lines[-3:])
    assert sidecar.ship().returncode == 0
    rows = in_order(events(sidecar))
    assert {row["source_line"] for row in rows} == set(range(1, len(lines) + 1))
    assert {path.parent.name for path in sidecar.objects()} == {"dialect=codex"}


def test_a_redriven_line_has_its_number_and_dialect(sidecar: Sidecar) -> None:
    path = put(sidecar, CODEX, "codex")
    lines = path.read_bytes().splitlines()
    broken = lines[5][:-1] + b',"odd":NaN}'
    path.unlink()
    append(path, [*lines[:5], broken, *lines[6:]])
    event_lake(sidecar)
    assert sidecar.ship().returncode == 0
    before = events(sidecar)
    sidecar.configure(
        LAKE.format(lake=sidecar.lake) + 'format = "event"\n',
        source='labels = { team = "blue" }\nrepair = true',
    )
    redrive(sidecar)
    assert sidecar.ship().returncode == 0
    new = [row for row in events(sidecar) if row not in before]
    assert {row["source_line"] for row in new} == {6}
    assert {path.parent.name for path in sidecar.objects()} == {"dialect=codex"}


def test_the_line_that_the_destination_rejected_is_quarantined_behind_a_record_over_the_limit(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    receiver.order(intake="splunk", secret=SECRET, poison="line 2")
    token = sidecar.folder / "token"
    token.write_text(SECRET)
    token.chmod(0o600)
    siem = (
        f'[[sink]]\nname = "siem"\ntype = "splunk"\nurl = "http://127.0.0.1:{receiver.port}"\n'
        f'token_file = "{token}"\n'
    )
    sidecar.configure(siem + 'format = "raw"\ncontent = "full"\n')
    long = b'{"conversation_id":"' + b"c" * 1_100_000 + b'"}'  # no event is as long
    append(sidecar.traces / "a.jsonl", [long, *number_lines(0, 5)])
    assert sidecar.ship().returncode == 0
    starts = [0, len(long) + 1 + sum(len(line) + 1 for line in number_lines(0, 2))]
    assert [
        (line["start"], line["reason"] == "too_large") for line in sidecar.list_quarantined()
    ] == list(zip(starts, [True, False], strict=True))


GENERIC = b'{"n":%d,"token_was":"gh' + b"p_" + b"aB3" * 12 + b'"}\n'


def two_dialects(sidecar: Sidecar) -> Path:
    """A plan of two objects, both there and the manifest too, and nothing committed."""
    event_lake(sidecar)
    put(sidecar, CODEX, "codex")
    path = sidecar.traces / "a.jsonl"
    path.write_bytes(b"".join(GENERIC % n for n in range(10)))
    kill_at(sidecar, "sent")
    assert len({each.parent.name for each in sidecar.objects()}) == 2
    return path


def cut_off(sidecar: Sidecar, *dialects: str) -> None:
    """As if the process had ended before the manifest and these dialects' objects were written."""
    for path in (
        *sidecar.lake.glob("_manifest/v1/dt=*/*.json"),
        *(each for each in sidecar.objects() if each.parent.name[8:] in dialects),
    ):
        path.unlink()


@pytest.mark.parametrize(
    "missing", [(), ("generic",), ("codex",), ("codex", "generic")], ids=" and ".join
)
@pytest.mark.parametrize("change", ["nothing", "rules", "compression"])
def test_a_plan_of_several_objects_interrupted_between_them_is_finished(
    sidecar: Sidecar, missing: tuple[str, ...], change: str
) -> None:
    two_dialects(sidecar)
    rows = in_order(events(sidecar))
    cut_off(sidecar, *missing)
    compression = 'compression = "zstd"\n' if change == "compression" else ""
    rules = '[redaction]\nhmac_key = "another marker"\n' if change == "rules" else ""
    sidecar.configure(
        LAKE.format(lake=sidecar.lake) + f'format = "event"\n{compression}',
        source='labels = { team = "blue" }',
        more=rules,
    )
    assert sidecar.ship().returncode == 0
    assert len(sidecar.lines()) == len(rows)
    assert sidecar.ask("verify", "lake").returncode == 0


def test_a_plan_whose_objects_all_exist_gets_its_manifest_though_a_source_was_rewritten(
    sidecar: Sidecar,
) -> None:
    path = two_dialects(sidecar)
    rows = in_order(events(sidecar))
    cut_off(sidecar)
    for held in (sidecar.state / "held").iterdir():
        held.unlink()
    path.write_bytes(b'{"another":"file"}\n')
    append(next(iter(sidecar.traces.glob("**/rollout*.jsonl"))), number_lines(0, 1))
    assert sidecar.ship().returncode == 0
    now = events(sidecar)
    assert [row for row in now if row not in rows and row["source_file"] != str(path)] == [
        row for row in now if row["source_line"] == 1 + len(CODEX.read_bytes().splitlines())
    ]
    assert len(now) == len(rows) + 2
    assert sidecar.ask("verify", "lake").returncode == 0


def test_a_sink_that_starts_now_has_the_same_events_as_one_that_was_there(sidecar: Sidecar) -> None:
    path = put(sidecar, CODEX, "codex")
    lines = path.read_bytes().splitlines()
    path.unlink()
    append(path, lines[:-5])
    first, second = sidecar.lake, sidecar.folder / "second"
    sinks = [
        LAKE.format(lake=place).replace('"lake"', f'"{place.name}"', 1) + 'format = "event"\n'
        for place in (first, second)
    ]
    sidecar.configure(sinks[0])
    assert sidecar.ship().returncode == 0
    sidecar.configure(sinks[0] + sinks[1] + 'start = "now"\n')
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    append(path, lines[-5:])
    sidecar.lake = second
    wait_until(
        lambda: (
            {row["source_line"] for row in events(sidecar)}
            == set(range(len(lines) - 4, len(lines) + 1))
        )
    )
    assert sidecar.stop() == 0
    late = in_order(events(sidecar))
    sidecar.lake = first
    assert late == [
        row for row in in_order(events(sidecar)) if int(str(row["source_line"])) > len(lines) - 5
    ]


def test_the_archive_of_a_rotated_file_goes_on_with_the_state_of_the_file(sidecar: Sidecar) -> None:
    event_lake(sidecar)
    path = put(sidecar, CODEX, "codex")
    lines = path.read_bytes().splitlines()
    assert sidecar.ship().returncode == 0
    whole = in_order(events(sidecar))
    for folder in (sidecar.lake, sidecar.state):
        shutil.rmtree(folder)
    path.unlink()
    append(path, lines[:-5])
    assert sidecar.ship().returncode == 0
    append(path, lines[-5:])
    path.with_name(f"{path.name}.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    for each in (path, *(sidecar.state / "held").iterdir()):
        each.unlink()
    assert sidecar.ship().returncode == 0
    assert in_order(events(sidecar)) == whole
