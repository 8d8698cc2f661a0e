"""Lines become events on their way: split by day and dialect, the same after any restart, whatever
the sink's format.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from tests.daemon.sidecar import LAKE, Sidecar
from tests.dialects.golden import FIXTURES, fixtures
from tests.servers.processes import wait_until
from tracesidecar.batch.manifest import Manifest, decode_manifest

KEY_ID = "AKIA" + "QYLPMN5HFZKE2345"


def events(sidecar: Sidecar) -> list[dict[str, object]]:
    """Every row of the lake, but for when it was shipped."""
    rows = [msgspec.json.decode(line, type=dict[str, object]) for line in sidecar.lines()]
    for row in rows:
        del row["ingest_time"]
        if row["event_time_source"] == "ingest":
            del row["event_time"]
    return rows


def manifests(sidecar: Sidecar) -> list[Manifest]:
    return [
        decode_manifest(path.read_bytes())
        for path in sorted(sidecar.lake.glob("_manifest/v1/dt=*/*.json"))
    ]


def event_lake(sidecar: Sidecar, more: str = "") -> None:
    sidecar.configure(
        LAKE.format(lake=sidecar.lake) + f'format = "event"\n{more}\n',
        source='labels = { team = "blue" }',
    )


def put_fixtures(sidecar: Sidecar) -> int:
    """Lay every fixture where its agent would write it; return the number of lines."""
    lines = 0
    for fixture in fixtures():
        target = sidecar.traces / fixture.relative_to(FIXTURES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(fixture, target)
        lines += sum(bool(line.strip()) for line in fixture.read_bytes().split(b"\n"))
    return lines


def test_every_line_of_every_dialect_is_in_the_lake_by_day_and_dialect(sidecar: Sidecar) -> None:
    lines = put_fixtures(sidecar)
    event_lake(sidecar)
    assert sidecar.ship().returncode == 0
    rows = events(sidecar)
    assert len({(row["source_file"], row["source_line"]) for row in rows}) == lines - len(
        sidecar.list_quarantined()
    )
    for path in sidecar.objects():
        day = path.parent.parent.name.removeprefix("dt=")
        for line in map(json.loads, _lines(path)):
            assert line["event_time"].startswith(day)
            assert "dt" not in line
            assert "dialect" not in line
            assert line["labels"] == '{"team":"blue"}'
    described = manifests(sidecar)
    assert {each.name for manifest in described for each in manifest.objects} == {
        str(path.relative_to(sidecar.lake)) for path in sidecar.objects()
    }
    assert sum(each.rows for manifest in described for each in manifest.objects) == len(rows)
    assert sum(each.records for manifest in described for each in manifest.ranges) == len(rows)
    assert {manifest.format for manifest in described} == {"event"}


def _lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


@pytest.mark.parametrize(
    "dialect",
    [
        "codex",
        *(pytest.param(d, marks=pytest.mark.long) for d in ("copilot", "gemini", "claude_code")),
    ],
)
def test_a_restart_in_mid_file_makes_the_same_events(
    sidecar: Sidecar, tmp_path: Path, dialect: str
) -> None:
    fixture = max(
        (path for path in fixtures() if path.relative_to(FIXTURES).parts[0] == dialect),
        key=lambda path: path.stat().st_size,
    )
    target = sidecar.traces / fixture.relative_to(FIXTURES / dialect)
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = fixture.read_bytes().splitlines(keepends=True)
    event_lake(sidecar)
    shutil.copy(fixture, target)
    assert sidecar.ship().returncode == 0
    whole = events(sidecar)
    shutil.rmtree(sidecar.lake)
    shutil.rmtree(sidecar.state)
    target.unlink()
    for begin in range(0, len(rows), len(rows) // 3 + 1):
        with target.open("ab") as file:
            file.writelines(rows[begin : begin + len(rows) // 3 + 1])
        assert sidecar.ship().returncode == 0
    assert len(manifests(sidecar)) == 3
    key = ("source_line", "event_id", "event_kind")
    assert sorted(events(sidecar), key=lambda row: [str(row[name]) for name in key]) == sorted(
        whole, key=lambda row: [str(row[name]) for name in key]
    )


def test_a_rotation_changes_no_id_and_no_conversation(sidecar: Sidecar) -> None:
    event_lake(sidecar)
    path = sidecar.traces / "run-7.jsonl"
    path.write_bytes(b'{"n":1}\n{"n":2}\n')
    assert sidecar.ship().returncode == 0
    path.rename(sidecar.traces / "run-7.1.jsonl")
    with (sidecar.traces / "run-7.1.jsonl").open("ab") as file:
        file.write(b'{"n":3}\n')
    assert sidecar.ship().returncode == 0
    assert Counter(
        (row["conversation_id"], str(row["source_file"]).rpartition("/")[2])
        for row in events(sidecar)
    ) == {("run-7", "run-7.jsonl"): 3}


def test_metadata_leaves_out_what_people_wrote_and_tools_answered(sidecar: Sidecar) -> None:
    put_fixtures(sidecar)
    event_lake(sidecar, 'content = "metadata"')
    assert sidecar.ship().returncode == 0
    assert not [
        name
        for row in events(sidecar)
        for name in ("text", "tool_arguments", "tool_result", "raw")
        if name in row
    ]


def test_two_sinks_of_events_and_one_of_lines_walk_side_by_side(sidecar: Sidecar) -> None:
    lines = put_fixtures(sidecar)
    second = (
        LAKE.format(lake=sidecar.folder / "second").replace('"lake"', '"second"')
        + 'format = "ecs"\n'
    )
    third = LAKE.format(lake=sidecar.folder / "third").replace('"lake"', '"third"')
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'format = "event"\n' + second + third)
    assert sidecar.ship().returncode == 0
    count = len(sidecar.lines())
    rejected = len(sidecar.list_quarantined())
    sidecar.lake = sidecar.folder / "second"
    assert (
        sum(
            manifest.objects[0].rows
            if len(manifest.objects) == 1
            else sum(each.rows for each in manifest.objects)
            for manifest in manifests(sidecar)
        )
        == count
    )
    sidecar.lake = sidecar.folder / "third"
    assert len(sidecar.lines()) == lines - rejected


def _last_of_a_call(row: dict[str, Any]) -> tuple[int, str, list[int]]:
    """Most output, then latest, then the smallest id."""
    smallest_first = [-ord(letter) for letter in row["event_id"]]
    return row.get("output_tokens", -1), row["event_time"], smallest_first


def test_the_query_of_the_readme_counts_every_call_once(sidecar: Sidecar) -> None:
    put_fixtures(sidecar)
    event_lake(sidecar)
    assert sidecar.ship().returncode == 0
    assert (
        sidecar.call("ddl", "duckdb", "--apply", str(sidecar.folder / "traces.duckdb")).returncode
        == 0
    )
    [query] = re.findall(
        r'duckdb traces.duckdb "(.*)"', (Path(__file__).parents[2] / "README.md").read_text()
    )
    with duckdb.connect(str(sidecar.folder / "traces.duckdb"), read_only=True) as database:
        reported = {
            model: (calls, given, taken)
            for model, calls, given, taken, _ in database.execute(query).fetchall()
        }
    calls: dict[tuple[object, object], dict[str, Any]] = {}
    for path in sidecar.objects():
        for row in map(json.loads, _lines(path)):
            key = path.parent.name, row.get("api_call_id") or row["event_id"]
            if row.get("usage_scope") == "call":
                # Which object a row is in depends on when batches were closed: order the repeats
                # of a call as the view does.
                calls[key] = max(calls.get(key, row), row, key=_last_of_a_call)
    expected: dict[str | None, list[int]] = {}
    for row in calls.values():
        count = expected.setdefault(row.get("model"), [0, 0, 0])
        count[0] += 1
        count[1] += row.get("input_tokens", 0)
        count[2] += row.get("output_tokens", 0)
    assert {
        model: (count, given or 0, taken or 0) for model, (count, given, taken) in reported.items()
    } == {model: tuple(sums) for model, sums in expected.items()}
    assert sidecar.ask("verify", "lake").returncode == 0


def test_documents_without_a_newline_are_taken_once_they_are_complete(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source="documents = true")
    (sidecar.traces / "event-1.jsonl").write_bytes(b'{"id":1}')
    (sidecar.traces / "event-2.jsonl").write_bytes(b'{"id":2,"text":"not yet')
    sidecar.start()
    sidecar.arrives(1)
    with (sidecar.traces / "event-2.jsonl").open("ab") as file:
        file.write(b' done"}')
    sidecar.arrives(2)
    assert sidecar.stop() == 0
    assert sorted(sidecar.lines()) == [b'{"id":1}', b'{"id":2,"text":"not yet done"}']
    (sidecar.traces / "event-3.jsonl").write_bytes(b'{"id":3}')
    assert sidecar.ship().returncode == 0
    assert sidecar.list_quarantined() == []
    assert len(sidecar.lines()) == 3


def delta(number: int, text: str) -> bytes:
    return (
        json.dumps(
            {
                "type": "response.output_text.delta",
                "item_id": "m1",
                "content_index": 0,
                "sequence_number": number,
                "delta": text,
            }
        ).encode()
        + b"\n"
    )


def test_a_secret_split_over_a_message_that_is_still_streamed_does_not_leave(
    sidecar: Sidecar,
) -> None:
    path = sidecar.traces / "stream.jsonl"
    path.write_bytes(b'{"n":1}\n' + delta(1, f"the key is {KEY_ID[:9]}"))
    sidecar.start()
    sidecar.arrives(1)
    with path.open("ab") as file:
        file.write(delta(2, f"{KEY_ID[9:]} and that is all"))
        file.write(
            b'{"type":"response.output_text.done","item_id":"m1","content_index":0,"text":"-"}\n'
        )
    sidecar.arrives(4)
    assert sidecar.stop() == 0
    text = b"".join(sidecar.lines()).decode()
    assert KEY_ID[:9] not in text
    assert KEY_ID[9:] not in text
    assert "[REDACTED:aws-access-key-id]" in text


def test_a_streamed_message_that_never_ends_is_taken_after_a_while_and_counted(
    sidecar: Sidecar,
) -> None:
    path = sidecar.traces / "stream.jsonl"
    path.write_bytes(delta(1, "hello") + delta(2, " world"))
    sidecar.start()
    sidecar.arrives(2)
    wait_until(
        lambda: (
            b'tracesidecar_open_messages_total{source="agent"} 1.0' in sidecar.get("/metrics")[1]
        )
    )
    assert sidecar.stop() == 0


@pytest.mark.parametrize("form", ["raw", "event"])
def test_a_batch_of_rejected_lines_leaves_its_ranges_in_the_store(
    sidecar: Sidecar, form: str
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + f'format = "{form}"\n')
    path = sidecar.traces / "a.jsonl"
    for line in (b"no JSON\n", b'{"n":1}\n'):
        with path.open("ab") as file:
            file.write(line)
        assert sidecar.ship().returncode == 0
    assert len(sidecar.lines()) == 1
    assert len(manifests(sidecar)) == 2
    assert sidecar.ask("verify", "lake").returncode == 0
