"""Whatever a file holds, shipping goes on and the other lines arrive."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines

BEFORE, AFTER = number_lines(0, 3), number_lines(100, 3)
REJECTED = {
    "not_json": b"plain text",
    "two_documents": b'{"a":1} {"b":2}',
    "invalid_utf8": b'{"a":"\xff\xfe"}',
    "lone_surrogate": rb'{"a":"\ud800"}',
    "nan": b'{"a":NaN}',
    "too_deep": b"[" * 100_000 + b"]" * 100_000,
}
ACCEPTED = {
    "duplicate keys": b'{"a":1,"a":2}',
    "big integer": b'{"a":123456789012345678901234567890}',
    "number beyond double": b'{"a":1e400}',
    "a bare value": b'"text"',
    "escaped NUL": rb'{"a":"\u0000"}',
}


@pytest.mark.parametrize(("reason", "line"), REJECTED.items(), ids=list(REJECTED))
def test_a_rejected_line_has_its_reason_and_the_others_arrive(
    sidecar: Sidecar, reason: str, line: bytes
) -> None:
    append(sidecar.traces / "a.jsonl", [*BEFORE, line, *AFTER])
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == BEFORE + AFTER
    assert [entry["reason"] for entry in sidecar.list_quarantined()] == [reason]


def test_what_is_accepted_passes_byte_for_byte(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", list(ACCEPTED.values()))
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == list(ACCEPTED.values())


def test_bom_crlf_and_blank_lines_leave_the_documents(sidecar: Sidecar) -> None:
    (sidecar.traces / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"n":1}\r\n\r\n\n{"n":2}\r\n')
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == [b'{"n":1}', b'{"n":2}']
    assert sidecar.list_quarantined() == []


def test_a_binary_file_is_quarantined_line_by_line(sidecar: Sidecar) -> None:
    noise = bytes(range(256)) * 64
    (sidecar.traces / "noise.jsonl").write_bytes(noise + b"\n")
    append(sidecar.traces / "a.jsonl", BEFORE)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == BEFORE
    assert len(sidecar.list_quarantined()) == noise.count(b"\n") + 1


def test_nul_bytes_of_a_stale_writer_do_not_arrive(sidecar: Sidecar) -> None:
    (sidecar.traces / "a.jsonl").write_bytes(b"\0" * 50_000 + b'{"n":1}\n{"n":2}\n')
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == [b'{"n":2}']


def test_a_line_of_one_gibibyte_is_passed_over_in_bounded_memory_and_its_neighbours_arrive(
    sidecar: Sidecar,
) -> None:
    path = sidecar.traces / "a.jsonl"
    append(path, BEFORE)
    start = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"a":"')
        file.truncate(start + (1 << 30))  # sparse: a hole of NULs, which is no JSON either way
        file.seek(0, 2)
        file.write(b'"}\n')
    append(path, AFTER)
    code, peak_bytes = sidecar.ship_measured()
    assert code == 0
    assert peak_bytes < 200 << 20
    assert sidecar.lines() == BEFORE + AFTER
    [entry] = sidecar.list_quarantined()
    assert (entry["start"], entry["end"], entry["reason"]) == (
        start,
        start + (1 << 30) + 2,
        "too_long",
    )


def test_lines_up_to_the_limit_arrive_and_one_byte_more_does_not(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source='max_line = "2MiB"')

    def line(size: int) -> bytes:
        return b'{"a":"' + b"x" * (size - 8) + b'"}'

    sizes = [
        8,
        65_535,
        65_536,
        65_537,
        (1 << 20) - 1,
        1 << 20,
        (1 << 20) + 1,
        2 << 20,
        (2 << 20) + 1,
    ]
    lines = [
        entry for size in sizes for entry in (line(size), json.dumps({"after": size}).encode())
    ]
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(entry for entry in lines if len(entry) <= 2 << 20)
    assert [entry["reason"] for entry in sidecar.list_quarantined()] == ["too_long"]


def test_a_line_of_sixty_four_mebibytes_arrives(sidecar: Sidecar) -> None:
    big = b'{"a":"' + b"word " * ((64 << 20) // 5 - 3) + b'"}'
    append(sidecar.traces / "a.jsonl", [*BEFORE, big, *AFTER])
    code, peak_bytes = sidecar.ship_measured()
    assert code == 0
    assert peak_bytes < (48 + 4 * 64 + 60) << 20, (
        "memory_limit, four times the line, and the program itself"
    )
    assert sidecar.lines() == [*BEFORE, big, *AFTER]


def test_odd_file_names_are_shipped(sidecar: Sidecar) -> None:
    names = [
        b"with space.jsonl",
        b"new\nline.jsonl",
        b"\xff\xfe.jsonl",
        b"-dash.jsonl",
        b"x" * 249 + b".jsonl",
    ]
    for number, name in enumerate(names):
        append(
            Path(os.fsdecode(os.fsencode(sidecar.traces) + b"/" + name)), number_lines(number, 1)
        )
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, len(names)))
    assert sidecar.ask("status", "--json").returncode == 0


def test_repair_delivers_the_whole_records_of_a_broken_line_and_quarantines_the_rest(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source="repair = true")
    one, two, three, four, five = number_lines(0, 5)
    torn = b'{"n": 9, "te'
    content = b"\n".join([one, torn + two, three + four, b"\0" * 700 + five, torn, b""])
    (sidecar.traces / "a.jsonl").write_bytes(content)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == [one, two, three, four, five]
    rejected = [
        (content[start:end], reason)
        for start, end, reason in msgspec.convert(
            [
                (entry["start"], entry["end"], entry["reason"])
                for entry in sidecar.list_quarantined()
            ],
            list[tuple[int, int, str]],
        )
    ]
    assert sorted(rejected) == [(b"\0" * 700, "nul"), (torn, "truncated"), (torn, "truncated")]
    assert sidecar.ask("verify", "lake").returncode == 0
    assert sidecar.ship().returncode == 0
    assert len(sidecar.lines()) == 5
