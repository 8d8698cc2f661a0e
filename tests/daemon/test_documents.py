"""Whole JSON documents through the real program: grown, replaced, rewritten, torn, killed."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar
from tests.servers.processes import wait_until
from tests.warm import warm

KEY_ID = "AKIA" + "Q7LPMN5HFZKE2345"


def trajectory(number: int, steps: int = 2, **more: object) -> dict[str, object]:
    return {
        "n": number,
        "trajectory": [
            {"action": f"ls {step}", "observation": 'a "b" {[', "state": {"open_file": None}}
            for step in range(steps)
        ],
        "info": {"model_stats": {"instance_cost": 0.5}},
        **more,
    }


def indent_document(number: int, steps: int = 2, **more: object) -> bytes:
    return json.dumps(trajectory(number, steps, **more), indent=2).encode()


def replace(path: Path, content: bytes) -> None:
    """Write a new version beside the file, and rename it into its place."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def list_delivered(sidecar: Sidecar) -> list[tuple[int, int]]:
    """Return (number, steps) of each document in the lake."""
    found = [json.loads(line) for line in sidecar.lines()]
    return sorted((document["n"], len(document["trajectory"])) for document in found)


@pytest.fixture
def documents(sidecar: Sidecar) -> Sidecar:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source="documents = true")
    return sidecar


def test_trajectories_are_documents_and_a_faulty_one_is_one_quarantine_entry(
    documents: Sidecar,
) -> None:
    faulty = indent_document(2, 400).replace(b"0.5", b"NaN")
    (documents.traces / "a.jsonl").write_bytes(indent_document(1, 300))
    (documents.traces / "b.jsonl").write_bytes(
        b"\n".join([indent_document(0, token=KEY_ID), faulty, indent_document(3, 5)])
    )
    (documents.traces / "c.jsonl.gz").write_bytes(
        gzip.compress(indent_document(4) + indent_document(5))
    )
    assert documents.ship().returncode == 0
    assert list_delivered(documents) == [(0, 2), (1, 300), (3, 5), (4, 2), (5, 2)]
    assert KEY_ID.encode() not in b"".join(documents.lines())
    [entry] = documents.list_quarantined()
    start = len(indent_document(0, token=KEY_ID)) + 1
    assert (entry["start"], entry["end"], entry["reason"]) == (start, start + len(faulty), "nan")
    explained = documents.ask("explain", str(documents.traces / "b.jsonl"), "--json")
    [ranges] = json.loads(explained.stdout)["ranges"]
    assert [piece["state"] for piece in ranges["pieces"]] == [
        "delivered",
        "quarantined",
        "delivered",
    ]
    documents.configure(LAKE.format(lake=documents.lake), source="documents = true\nrepair = true")
    assert documents.call("quarantine", "redrive", "--all").returncode == 0
    assert documents.ship().returncode == 0
    assert list_delivered(documents)[2] == (2, 400)
    assert documents.list_quarantined() == []
    assert documents.ask("verify", "lake").returncode == 0


def test_an_unfinished_document_waits_is_no_lag_and_is_named_by_a_drain(
    documents: Sidecar,
) -> None:
    path = documents.traces / "a.jsonl"
    path.write_bytes(indent_document(1) + b"\n" + indent_document(2)[:60])
    documents.start()
    documents.arrives(1)
    assert documents.stop() == 0
    [torn] = [event for event in documents.events() if event["event"] == "drain.unfinished_line"]
    assert (torn["offset"], torn["bytes"]) == (len(indent_document(1)) + 1, 60)
    status = json.loads(documents.ask("status", "--json").stdout)
    assert [sink["lag_bytes"] for sink in status["sinks"]] == [0]
    with path.open("ab") as file:
        file.write(indent_document(2)[60:])
    status = json.loads(documents.ask("status", "--json").stdout)
    assert [sink["lag_bytes"] for sink in status["sinks"]] == [len(indent_document(2))]
    documents.start()
    documents.arrives(2)
    with path.open("ab") as file:
        file.write(b"\r\n" + indent_document(3)[:-30])
    path.unlink()
    wait_until(lambda: bool(documents.list_quarantined()) or documents.has_ended())
    assert documents.stop() == 0
    assert list_delivered(documents) == [(1, 2), (2, 2)]
    assert [entry["reason"] for entry in documents.list_quarantined()] == ["truncated"]


def test_each_version_of_a_file_is_delivered_once_and_has_ids_of_its_own(
    sidecar: Sidecar,
) -> None:
    events = LAKE.format(lake=sidecar.lake) + 'format = "event"\n'
    sidecar.configure(events, source="documents = true")
    path = sidecar.traces / "a.jsonl"
    sidecar.start()
    for steps in range(1, 4):
        replace(path, indent_document(1, steps, pad="x" * 5000))
        sidecar.arrives(steps)
    for steps in range(4, 6):  # rewritten in place, in pieces
        content = indent_document(1, steps, pad="x" * 5000)
        with path.open("wb", buffering=0) as file:
            file.write(content[:3000])
            file.write(content[3000:])
        sidecar.arrives(steps)
    assert sidecar.stop() == 0
    rows = [json.loads(line) for line in sidecar.lines()]
    assert len({row["event_id"] for row in rows}) == len(rows) == 5
    assert sidecar.ship().returncode == 0
    assert len(sidecar.lines()) == 5
    assert sidecar.list_quarantined() == []


def test_a_daemon_that_is_killed_among_documents_loses_and_repeats_none(
    documents: Sidecar,
) -> None:
    path = documents.traces / "a.jsonl"
    whole = [indent_document(n, 2 + n % 5, pad="x" * 20_000) for n in range(100)]
    content = b"\n".join(whole) + b"\n"
    pieces = [content[at : at + 1_000_000] for at in range(0, len(content), 1_000_000)]
    for piece in pieces:
        documents.start()
        with path.open("ab") as file:
            file.write(piece)
        before = len(documents.lines())
        documents.arrives(before + 1)
        documents.stop(signal.SIGKILL)
    assert documents.ship().returncode == 0
    assert Counter(n for n, _ in list_delivered(documents)) == Counter(range(100))
    assert documents.list_quarantined() == []
    assert documents.ask("verify", "lake").returncode == 0


def test_a_sink_that_starts_now_takes_only_documents_that_are_written_later(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'start = "now"\n', source="documents = true")
    path = sidecar.traces / "a.jsonl"
    path.write_bytes(indent_document(1))
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    with path.open("ab") as file:
        file.write(b"\n" + indent_document(2))
    sidecar.arrives(1)
    assert sidecar.stop() == 0
    assert list_delivered(sidecar) == [(2, 2)]


def test_recover_finds_where_the_documents_of_a_store_end(documents: Sidecar) -> None:
    path = documents.traces / "a.jsonl"
    path.write_bytes(
        b"\n".join(
            [indent_document(0), indent_document(1).replace(b"0.5", b"NaN"), indent_document(2)]
        )
    )
    assert documents.ship().returncode == 0
    shutil.rmtree(documents.state)
    warm(documents.state)
    assert documents.call("recover", "lake").returncode == 0
    with path.open("ab") as file:
        file.write(indent_document(3) + b"\n")
    assert documents.ship().returncode == 0
    assert list_delivered(documents) == [(0, 2), (2, 2), (3, 2)]


def test_scan_reads_json_and_trajectory_files_as_documents(documents: Sidecar) -> None:
    faulty = indent_document(1).replace(b"0.5", b"NaN")
    content = b"\n".join(
        [indent_document(0), faulty, indent_document(2, text=KEY_ID), indent_document(3)[:-40]]
    )
    (documents.folder / "a.traj").write_bytes(content)
    (documents.folder / "a.json.gz").write_bytes(gzip.compress(content))
    lines = [content.count(b"\n", 0, content.index(b'"n": %d' % n)) for n in range(4)]
    scanned = documents.call("scan", "--json", "a.traj", "a.json.gz")
    for found in json.loads(scanned.stdout)["files"]:
        assert found["lines"] == 4
        assert found["invalid_lines"] == [
            {"line": lines[1], "reason": "nan"},
            {"line": lines[3], "reason": "truncated"},
        ]
        assert found["places"] == [{"rule": "aws-access-key-id", "line": lines[2], "path": "text"}]


def test_init_finds_the_trajectories_of_swe_agent(documents: Sidecar) -> None:
    folder = documents.folder / "trajectories" / "me" / "run" / "task-1"
    folder.mkdir(parents=True)
    (folder / "task-1.traj").write_bytes(indent_document(1, 30))
    assert documents.call("init", "--force").returncode == 0
    written = tomllib.loads(documents.config.read_text())
    [source] = [each for each in written["source"] if each["name"] == "swe-agent"]
    assert source["documents"] is True
    assert source["include"] == [str(documents.folder / "trajectories/**/*.traj")]
