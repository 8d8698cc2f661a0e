"""From trace files to query results: what the program ships is verified, queried with the printed
statements, compacted, and queried again.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.ddl.pitfalls import pitfalls
from tracesidecar.cli import main

USAGE = {
    "input_tokens": 3,
    "cache_read_input_tokens": 90,
    "cache_creation_input_tokens": 7,
    "output_tokens": 1,
}


def assistant(message: str, output_tokens: int, number: int) -> dict[str, object]:
    """Return a line of Claude Code; each block of one message repeats the message's usage."""
    usage = {**USAGE, "output_tokens": output_tokens}
    body = {
        "id": message,
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": f"part {number}"}],
        "usage": usage,
    }
    envelope = {
        "type": "assistant",
        "sessionId": "5f0c4e1e-0000-4000-8000-000000000001",
        "uuid": f"00000000-0000-4000-8000-{number:012}",
        "parentUuid": None,
    }
    return {
        **envelope,
        "timestamp": f"2026-01-05T10:00:{number:02}.000Z",
        "version": "2.1.0",
        "cwd": "/src",
        "userType": "external",
        "isSidechain": False,
        "message": body,
    }


@pytest.fixture(params=["event", "parquet"])
def configured(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    traces = tmp_path / "traces"
    traces.mkdir()
    lines = [
        assistant("msg_a", 1, 1),
        assistant("msg_a", 20, 2),
        assistant("msg_b", 5, 3),
        {"odd": {"URL": 1, "url": [1, "2"]}, "$set": 1},
    ]
    (traces / "5f0c4e1e-0000-4000-8000-000000000001.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    path = tmp_path / "tracesidecar.toml"
    path.write_text(
        f'state_directory = "{tmp_path}/state"\n[daemon]\nlisten = ""\n[[source]]\n'
        f'name = "agent"\ninclude = ["{traces}/*.jsonl"]\n'
        f'[[sink]]\nname = "lake"\ntype = "directory"\nformat = "{request.param}"\n'
        f'path = "{tmp_path}/lake"\n'
    )
    return path


def totals(path: Path) -> list[tuple[object, ...]]:
    """Create the views again, and sum over the calls."""
    file = path.parent / "traces.duckdb"
    assert main(["ddl", "duckdb", "--config", str(path), "--apply", str(file)]) == 0
    with duckdb.connect(str(file), read_only=True) as database:
        return database.execute(
            "SELECT count(*), sum(input_tokens)::BIGINT, sum(output_tokens)::BIGINT FROM "
            "model_calls"
        ).fetchall()


def test_traces_are_shipped_verified_queried_and_compacted(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ship", "--once", "--config", str(configured)]) == 0
    assert list(pitfalls(configured.parent / "lake")) == [] or "parquet" in configured.read_text()
    assert main(["verify", "lake", "--config", str(configured)]) == 0
    assert totals(configured) == [(2, 200, 25)]
    with (next((configured.parent / "traces").iterdir())).open("a") as file:
        file.write(json.dumps(assistant("msg_c", 4, 4)) + "\n")
    assert main(["ship", "--once", "--config", str(configured)]) == 0
    assert totals(configured) == [(3, 300, 29)]
    capsys.readouterr()
    assert (
        main(["compact", "lake", "--before", "2026-02-01", "--config", str(configured), "--json"])
        == 0
    )
    done = json.loads(capsys.readouterr().out)["partitions"]
    assert [
        (each["dialect"], each["before"]["objects"], each["after"]["objects"], each["refused"])
        for each in done
    ] == [("claude_code", 2, 1, None)]
    assert totals(configured) == [(3, 300, 29)]
    assert main(["verify", "lake", "--config", str(configured)]) == 0
