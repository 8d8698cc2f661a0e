"""Reports say what was shipped, rejected and left, but never the content of a line.

The reports are those of `status`, `explain`, `quarantine` and `scan`.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
import zstandard

from tests.cli.conftest import Desk

SECRET = "correct-horse-battery-9"
LINES = (
    b'{"n":1}\n{"password":"'
    + SECRET.encode()
    + b'"}\nnot json '
    + SECRET.encode()
    + b'\n{"mail":"jane@example.org"}\n'
)
CONFIGURATION = """\
state_directory = "../state"
[[source]]
name = "agent"
include = ["traces/*.jsonl"]
[[sink]]
name = "lake"
type = "directory"
path = "lake"
"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk where a file with one invalid line has been shipped to a lake."""
    desk = Desk(tmp_path_factory.mktemp("shipped"))
    desk.write("traces/a.jsonl", LINES)
    desk.write("tracesidecar.toml", CONFIGURATION)
    done = desk.call("ship", "--once")
    assert done.returncode == 0, done.stderr
    return desk


def test_status_counts_what_each_sink_has(shipped: Desk) -> None:
    status = shipped.document("status")
    (sink,) = status["sinks"]
    facts = {
        key: sink[key]
        for key in ("name", "state", "delivered_lines", "quarantined", "lag_bytes", "promise")
    }
    assert facts == {
        "name": "lake",
        "state": "stopped",
        "delivered_lines": 3,
        "quarantined": 1,
        "lag_bytes": 0,
        "promise": "exactly once",
    }
    (source,) = status["sources"]
    assert (source["name"], source["files"], source["bytes"], source["at_risk_bytes"]) == (
        "agent",
        1,
        len(LINES),
        0,
    )
    assert status["running"] is False


def test_explain_covers_every_byte_of_the_file(shipped: Desk) -> None:
    (ranges,) = shipped.document("explain", "traces/a.jsonl")["ranges"]
    start = LINES.index(b"not json")
    end = LINES.index(b"\n", start)
    assert (ranges["sink"], ranges["source"]) == ("lake", "agent")
    assert [
        (piece["start"], piece["end"], piece["state"], piece["detail"])
        for piece in ranges["pieces"]
    ] == [
        (0, start, "delivered", ""),
        (start, end, "quarantined", "not_json"),
        (end, len(LINES), "delivered", ""),
    ]


def test_explain_shows_what_was_appended_since_as_unread(shipped: Desk) -> None:
    with (shipped.folder / "traces/b.jsonl").open("wb") as file:
        file.write(b"1\n")
    assert shipped.call("ship", "--once").returncode == 0
    with (shipped.folder / "traces/b.jsonl").open("ab") as file:
        file.write(b"22\n")
    (ranges,) = shipped.document("explain", "traces/b.jsonl")["ranges"]
    assert [(piece["start"], piece["end"], piece["state"]) for piece in ranges["pieces"]] == [
        (0, 2, "delivered"),
        (2, 5, "unread"),
    ]
    (sink,) = shipped.document("status")["sinks"]
    assert sink["lag_bytes"] == 3
    assert shipped.call("ship", "--once").returncode == 0


def test_explain_reports_why_it_does_not_know_a_file(shipped: Desk) -> None:
    shipped.write("other.jsonl", "1\n")
    shipped.write("traces/new.jsonl", "1\n")
    assert shipped.call("explain", "other.jsonl").stderr.endswith(
        "is not in the journal: no source includes it\n"
    )
    done = shipped.call("explain", "traces/new.jsonl")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.endswith('source "agent" includes it, but nothing of it has been read yet\n')
    (shipped.folder / "traces/new.jsonl").unlink()


def test_quarantine_lists_place_and_reason(shipped: Desk) -> None:
    (entry,) = shipped.document("quarantine", "list")["quarantine"]
    assert (entry["source"], entry["reason"], entry["sink"]) == ("agent", "not_json", None)
    assert LINES[entry["start"] : entry["end"]].startswith(b"not json")
    assert shipped.document("quarantine", "show", str(entry["id"])) == entry


def test_an_entry_that_does_not_exist_is_wrong_usage(shipped: Desk) -> None:
    assert shipped.call("quarantine", "show", "4711").returncode == 64


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("explain", "traces/a.jsonl"),
        ("quarantine", "list"),
        ("quarantine", "show", "1"),
        ("scan", "traces"),
    ],
    ids=" ".join,
)
def test_no_report_shows_trace_content_or_colour(shipped: Desk, words: tuple[str, ...]) -> None:
    done = shipped.call(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a.jsonl" in done.stdout or "agent" in done.stdout
    assert SECRET not in done.stdout
    assert "\x1b" not in done.stdout


def test_reports_on_a_state_directory_that_nothing_used_say_so(desk: Desk) -> None:
    done = desk.call("status")
    assert done.returncode == 78
    assert "nothing has run with this state directory yet" in done.stderr


def test_scan_counts_lines_reasons_secrets_and_personal_data(desk: Desk) -> None:
    desk.write("t/a.jsonl", LINES)
    desk.write("t/b.jsonl.gz", gzip.compress(LINES))
    desk.write("t/sub/c.jsonl.zst", zstandard.compress(LINES))
    desk.write("t/ignored.txt", LINES)
    report = desk.document("scan", "t")
    expected = {
        "lines": 4,
        "bytes": len(LINES),
        "invalid_lines": [{"line": 3, "reason": "not_json"}],
        "invalid": {"not_json": 1},
        "secrets": {"key-name": 1},
        "pii": {"email": 1},
        "pii_not_cut": {"email": 1},
        "places": [
            {"rule": "key-name", "line": 2, "path": "password"},
            {"rule": "email", "line": 4, "path": "mail"},
        ],
        "trouble": "",
        "dialect": "generic",
        **dict.fromkeys(("calls", "input_tokens", "output_tokens", "cost_usd", "unpriced"), 0),
    }
    assert report["files"] == [
        {"path": path, **expected} for path in ("t/a.jsonl", "t/b.jsonl.gz", "t/sub/c.jsonl.zst")
    ]
    assert report["total"]["lines"] == 12


def test_scan_shows_each_rule_of_each_file_with_locations_and_what_would_be_allowed(
    desk: Desk,
) -> None:
    desk.write("t/a.jsonl", LINES)
    printed = desk.call("scan", "t").stdout
    rows = [line.split() for line in printed.splitlines() if line.startswith("t/a.jsonl ")]
    assert ["t/a.jsonl", "key-name", "secret", "1", "redacted", "2:password"] in rows
    assert ["t/a.jsonl", "email", "personal", "data", "1", "allowed", "4:mail"] in rows
    assert '"pii" in [redaction]' in printed


def test_scan_distinguishes_personal_data_that_is_redacted_from_what_is_allowed(desk: Desk) -> None:
    desk.write("t/a.jsonl", LINES)
    desk.write("tracesidecar.toml", CONFIGURATION + "[redaction]\npii = true\n")
    (file,) = desk.document("scan", "t", "--config", "tracesidecar.toml")["files"]
    assert (file["pii"], file["pii_not_cut"]) == ({"email": 1}, {})


def test_strict_scan_is_a_check_before_anything_leaves_the_machine(desk: Desk) -> None:
    desk.write("dirty/a.jsonl", LINES)
    desk.write("clean/a.jsonl", '{"a":1}\n')
    assert [desk.call("scan", folder, "--strict").returncode for folder in ("dirty", "clean")] == [
        65,
        0,
    ]


def test_a_secret_in_a_file_name_is_not_shown(desk: Desk) -> None:
    name = "t/glpat-" + "Ab3dEf5hIj7kLm9nOp1q.jsonl"
    desk.write(name, "not json\n")
    done = desk.call("scan", "t")
    assert "Ab3dEf5hIj7" not in done.stdout
    assert "[REDACTED:gitlab-token]" in done.stdout


def test_scan_goes_on_after_what_it_cannot_read(desk: Desk) -> None:
    desk.write("t/a.jsonl.gz", gzip.compress(LINES)[:40])
    os.mkfifo(desk.folder / "t/b.jsonl")
    desk.write("t/c.jsonl", LINES)
    report = desk.document("scan", "t")
    assert [file["trouble"] for file in report["files"]] == [
        "damaged archive",
        "not a regular file",
        "",
    ]
    assert report["files"][2]["lines"] == 4


def test_scan_reports_dialects_and_the_cost_of_each_call_once(desk: Desk) -> None:
    call = {
        "input_tokens": 1000,
        "output_tokens": 10,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    row = {
        "type": "assistant",
        "uuid": "u",
        "sessionId": "s",
        "timestamp": "2026-09-01T10:00:00.000Z",
    }
    message = {
        "id": "msg_01",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": call,
    }
    rows = [
        row | {"uuid": f"u{n}", "message": message | {"usage": call | {"output_tokens": n}}}
        for n in (1, 10, 4)
    ]
    desk.write(
        "resumed/.claude/projects/-srv/a.jsonl", "".join(json.dumps(each) + "\n" for each in rows)
    )
    desk.write("resumed/.claude/projects/-srv/b.jsonl", json.dumps(rows[0]) + "\n")
    document = json.loads(desk.call("scan", "resumed", "--json").stdout)
    assert [
        (each["dialect"], each["calls"], each["output_tokens"]) for each in document["files"]
    ] == [("claude_code", 1, 10), ("claude_code", 0, 0)]
    total = document["total"]
    assert (total["calls"], total["input_tokens"], total["output_tokens"], total["unpriced"]) == (
        1,
        1000,
        10,
        0,
    )
    assert total["cost_usd"] == pytest.approx(0.00315)
    assert "claude_code" in desk.call("scan", "resumed").stdout


def test_scan_of_a_path_that_does_not_exist_is_wrong_usage(desk: Desk) -> None:
    done = desk.call("scan", "nowhere")
    assert (done.returncode, done.stderr) == (64, "tracesidecar scan: nowhere does not exist\n")


def test_file_names_that_are_not_text_come_out_escaped(desk: Desk) -> None:
    path = os.fsencode(desk.folder) + b"/t\x1b[31m\xff.jsonl"
    Path(os.fsdecode(path)).write_bytes(b"1\n")
    done = desk.call("scan", ".")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert (
        json.loads(desk.call("scan", ".", "--json").stdout)["files"][0]["path"]
        == "./t\\x1b[31m\\xff.jsonl"
    )


def test_a_host_that_no_dns_can_have_is_reported_and_is_no_bug(desk: Desk) -> None:
    long = "a" * 70 + ".example"
    sinks = {
        "syslog": f'host = "{long}"',
        "relp": f'host = "{long}"\nport = 2514',
        "http": f'url = "https://{long}/x"',
        "loki": 'url = "https://a..example/x"',
        "sql": f'url = "postgresql://{long}/x"',
    }
    desk.write(
        "tracesidecar.toml",
        '[daemon]\nlisten = ""\n[[source]]\nname = "a"\ninclude = ["traces/*.jsonl"]\n'
        + "".join(
            f'[[sink]]\nname = "{kind}"\ntype = "{kind}"\n{options}\n'
            for kind, options in sinks.items()
        ),
    )
    done = desk.call("check-config", "--online", "--json")
    answers = json.loads(done.stdout)["online"]
    assert {each["sink"] for each in answers} == set(sinks)
    assert all(each["detail"].startswith("dns: ") for each in answers), answers
