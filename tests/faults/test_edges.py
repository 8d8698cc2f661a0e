"""At the edges of a life: files that were rotated before we looked, and those that we stop upon."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from tests.daemon.conftest import sidecar
from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.servers.processes import wait_until

__all__ = ["sidecar"]


def graceful(sidecar: Sidecar, grace: str, source: str = "", daemon: str = "") -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source, daemon)
    text = sidecar.config.read_text()
    sidecar.config.write_text(text.replace('copy_grace = "500ms"', f'copy_grace = "{grace}"'))


def lags_by(sidecar: Sidecar, size: int) -> bool:
    _, page = sidecar.get("/status")
    return bool(json.loads(page)["sinks"][0]["lag_bytes"] == size)


@pytest.mark.parametrize(
    "name", ["a.jsonl.1", "a.done", "../elsewhere.jsonl"], ids=["rotated", "renamed", "moved"]
)
def test_a_file_equal_to_its_predecessor_arrives_although_it_leaves_the_glob_and_we_are_stopped(
    sidecar: Sidecar, name: str
) -> None:
    graceful(sidecar, "3s")
    lines = number_lines(0, 2)
    path = sidecar.traces / "a.jsonl"
    append(path, lines)
    sidecar.start()
    sidecar.arrives(2)
    wait_until(lambda: lags_by(sidecar, 0))
    path.rename(sidecar.traces / "a.jsonl.2")
    append(path, lines)
    wait_until(lambda: lags_by(sidecar, len(body(lines))))
    path.rename(sidecar.traces / name)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines * 2)


def test_a_file_that_is_deleted_while_it_may_be_a_copy_arrives(sidecar: Sidecar) -> None:
    graceful(sidecar, "1h")
    lines = number_lines(0, 2)
    append(sidecar.traces / "a.jsonl", lines)
    sidecar.start()
    sidecar.arrives(2)
    wait_until(lambda: lags_by(sidecar, 0))
    append(sidecar.traces / "b.jsonl", lines)
    wait_until(lambda: lags_by(sidecar, len(body(lines))))
    (sidecar.traces / "b.jsonl").unlink()
    sidecar.arrives(4)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines * 2)


@pytest.mark.long
def test_what_waits_as_a_possible_copy_is_left_behind_and_lag_when_time_is_short(
    sidecar: Sidecar,
) -> None:
    graceful(sidecar, "1h", daemon='drain_deadline = "1s"')
    lines = number_lines(0, 2)
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.ship().returncode == 0
    append(sidecar.traces / "b.jsonl", lines)
    shipped = sidecar.ship("--json")
    assert shipped.returncode == 75
    left = json.loads(shipped.stdout)["left"]
    assert [(each["path"], each["offset"], each["size"]) for each in left] == [
        (str(sidecar.traces / "b.jsonl"), 0, len(body(lines)))
    ]
    status = json.loads(sidecar.ask("status", "--json").stdout)
    assert status["sinks"][0]["lag_bytes"] == len(body(lines))
    graceful(sidecar, "100ms")
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines * 2)


def write_rotated_family(folder: Path) -> list[bytes]:
    """Write a family as rotation leaves it, in no order; return its lines, oldest first."""
    oldest, older, old, young, live = (number_lines(n * 10, 10) for n in range(5))
    append(folder / "a.jsonl", live)
    (folder / "a.jsonl.2.gz").write_bytes(gzip.compress(body(old)))
    append(folder / "a.jsonl.1", young)
    dated = zstandard.ZstdCompressor().compress(body(oldest))
    (folder / "a-20260101.jsonl.zst").write_bytes(dated)
    append(folder / "a.jsonl.10", older)
    return oldest + older + old + young + live


def test_files_that_were_rotated_before_we_first_looked_arrive_oldest_first_and_once(
    sidecar: Sidecar,
) -> None:
    lines = write_rotated_family(sidecar.traces)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines
    # the family moves on: every file is known under its new name
    more = number_lines(100, 10)
    (sidecar.traces / "a.jsonl.10").unlink()
    subprocess.run(["gzip", sidecar.traces / "a.jsonl.1"], check=True)
    (sidecar.traces / "a.jsonl.2.gz").rename(sidecar.traces / "a.jsonl.3.gz")
    (sidecar.traces / "a.jsonl.1.gz").rename(sidecar.traces / "a.jsonl.2.gz")
    (sidecar.traces / "a.jsonl").rename(sidecar.traces / "a.jsonl.1")
    append(sidecar.traces / "a.jsonl", more)
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + more)
    proof = json.loads(sidecar.ask("verify", "lake", "--json").stdout)
    assert proof["problems"] == []


def test_an_agent_that_rotates_while_we_start_loses_nothing(sidecar: Sidecar) -> None:
    path = sidecar.traces / "a.jsonl"
    lines: list[bytes] = []

    def rotate(number: int) -> None:
        path.rename(sidecar.traces / f"a.jsonl.{number}")

    sidecar.start()
    for number in range(50):
        more = number_lines(number * 100, 100)
        append(path, more)
        rotate(1000 - number)
        lines += more
    sidecar.arrives(len(lines))
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines)


def test_an_excluded_family_and_what_is_no_rotated_name_stay_out(sidecar: Sidecar) -> None:
    sidecar.configure(
        LAKE.format(lake=sidecar.lake), 'exclude = ["**/history.jsonl", "**/*.gz", "**/b.jsonl.2"]'
    )
    taken = number_lines(0, 2)
    append(sidecar.traces / "b.jsonl.1", taken)
    for name in ("history.jsonl", "history.jsonl.1", "b.jsonl.2", "b.jsonl.bak", "notes.txt.1"):
        append(sidecar.traces / name, number_lines(10, 2))
    (sidecar.traces / "b.jsonl.3.gz").write_bytes(gzip.compress(body(number_lines(20, 2))))
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == taken


def test_with_rotated_glob_only_what_matches_is_taken(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), 'rotated = "glob"')
    lines = write_rotated_family(sidecar.traces)
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == lines[-10:]


@pytest.mark.parametrize("command", [["gzip", "-kf"], ["cp"]], ids=["gzip", "cp"])
def test_a_copy_beside_a_file_that_goes_on_is_not_delivered(
    sidecar: Sidecar, command: list[str]
) -> None:
    path = sidecar.traces / "a.jsonl"
    lines = number_lines(0, 300)
    append(path, lines)
    sidecar.start()
    sidecar.arrives(len(lines))
    wait_until(lambda: lags_by(sidecar, 0))
    target = [] if command[0] == "gzip" else [f"{path}.1"]
    subprocess.run([*command, path, *target], check=True)
    wait_until(lambda: not lags_by(sidecar, 0))
    wait_until(lambda: lags_by(sidecar, 0))
    more = number_lines(1000, 10)
    append(path, more)
    sidecar.arrives(len(lines + more))
    assert sidecar.stop() == 0
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + more)
    # it is still what goes on where the file ends, should that be truncated after all
    os.truncate(path, 0)
    append(path, number_lines(2000, 10))
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + more + number_lines(2000, 10))


def test_check_config_status_and_init_name_what_is_left_out(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), 'rotated = "glob"\nexclude = ["**/*.bak"]')
    write_rotated_family(sidecar.traces)
    (sidecar.traces / "notes.ndjson").write_bytes(b"{}\n")
    (sidecar.traces / "a.jsonl.bak").write_bytes(b"{}\n")
    assert sidecar.ship().returncode == 0
    here = sidecar.traces
    rotated = f'beside {here}/a.jsonl are not matched: source "agent" has rotated = "glob"'
    expected = [
        f"4 rotated files {rotated}",
        f"1 file in {here}, such as notes.ndjson, looks like traces and is matched by no source",
    ]
    for command in ("check-config", "status"):
        answer = sidecar.call(command)
        assert answer.returncode == 0
        shown = [line for line in answer.stdout.decode().splitlines() if "not followed" in line]
        assert shown == [f"not followed: {sentence}" for sentence in expected]
        document = json.loads(sidecar.call(command, "--json").stdout)
        assert [each["sentence"] for each in document["left_out"]] == expected
        assert [each["files"] for each in document["left_out"]] == [4, 1]
    home = tmp_path / "traces"  # what `init` follows in its working directory
    assert home == sidecar.traces
    written = sidecar.call("--config", str(tmp_path / "new.toml"), "init")
    assert written.returncode == 0
    # nothing excludes a.jsonl.bak there
    assert f"not followed: 2 files in {here}, such as " in written.stdout.decode()
    assert "rotated files beside" not in written.stdout.decode(), "the default takes the family"


def test_a_sink_that_starts_now_skips_what_waited_as_a_possible_copy(sidecar: Sidecar) -> None:
    graceful(sidecar, "2s")
    lines = number_lines(0, 5)
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.ship().returncode == 0
    append(sidecar.traces / "b.jsonl", lines)  # it waits: it may be a copy of the other
    late = LAKE.replace('"lake"', '"late"').format(lake=sidecar.folder / "late")
    config = sidecar.config.read_text()
    sidecar.config.write_text(config + late + 'start = "now"\n')
    sidecar.start()
    sidecar.arrives(10)
    more = number_lines(100, 3)
    append(sidecar.traces / "b.jsonl", more)
    sidecar.arrives(13)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines * 2 + more)
    sidecar.lake = sidecar.folder / "late"
    assert Counter(sidecar.lines()) == Counter(more)


def test_a_drain_that_ends_before_copy_grace_says_so(sidecar: Sidecar) -> None:
    graceful(sidecar, "1h", daemon='drain_deadline = "1s"')
    lines = number_lines(0, 2)
    append(sidecar.traces / "a.jsonl", lines)
    sidecar.start()
    sidecar.arrives(2)
    wait_until(lambda: lags_by(sidecar, 0))
    append(sidecar.traces / "b.jsonl", lines)
    wait_until(lambda: lags_by(sidecar, len(body(lines))))
    assert sidecar.stop() == 75
    [event] = [each for each in sidecar.events() if each.get("event") == "drain.incomplete"]
    assert "1 file still had to rest for copy_grace" in str(event["problem"])
    assert "last scan" not in str(event["problem"])


def test_an_unfinished_copy_that_is_first_met_with_its_original_arrives_once(
    sidecar: Sidecar,
) -> None:
    graceful(sidecar, "2s")
    lines = number_lines(0, 40)
    append(sidecar.traces / "a.jsonl", lines)
    copy = sidecar.traces / "a.jsonl.1"
    with copy.open("wb") as file:
        file.write(body(lines)[:700])
        file.flush()
        sidecar.start()
        sidecar.wait_for_event("sink.connected")
        wait_until(lambda: lags_by(sidecar, 700))
        file.write(body(lines)[700:])
    sidecar.arrives(40)
    wait_until(lambda: lags_by(sidecar, 0))
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines)


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("directive", "begun"),
    [
        ("copytruncate", "before us"),
        pytest.param("copytruncate", "while we run", marks=LONG),
        pytest.param("copytruncate", "while we are down", marks=LONG),
        pytest.param("copy", "before us", marks=LONG),
        pytest.param("copy", "while we run", marks=LONG),
        ("copy", "while we are down"),
    ],
)
def test_a_copy_that_is_finished_after_a_kill_arrives_once(
    sidecar: Sidecar, directive: str, begun: str
) -> None:
    graceful(sidecar, "2s")
    path, copy = sidecar.traces / "a.jsonl", sidecar.traces / "a.jsonl.1"
    lines = number_lines(0, 40)
    append(path, lines)
    if begun == "before us":
        copy.write_bytes(body(lines)[:700])
    sidecar.start()
    sidecar.arrives(40)
    if begun == "while we run":
        copy.write_bytes(body(lines)[:700])
    if begun != "while we are down":
        wait_until(lambda: lags_by(sidecar, 700))
    sidecar.kill()
    append(path, number_lines(40, 5))
    copy.write_bytes(path.read_bytes())
    if directive == "copytruncate":
        os.truncate(path, 0)
    append(path, number_lines(100, 5))
    sidecar.start()
    sidecar.arrives(50)
    wait_until(lambda: lags_by(sidecar, 0))
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter([*number_lines(0, 45), *number_lines(100, 5)])
    status = json.loads(sidecar.ask("status", "--json").stdout)
    assert status["sources"][0]["lost_bytes"] == 0


def test_a_rotated_file_that_was_there_first_arrives_also_after_a_kill(sidecar: Sidecar) -> None:
    """It equals the file that is written now, and is no copy: both were there when we looked."""
    graceful(sidecar, "2s")
    lines = number_lines(0, 5)
    for name in ("a.jsonl", "a.jsonl.1"):
        append(sidecar.traces / name, lines)
    sidecar.start()
    sidecar.arrives(5)
    wait_until(lambda: lags_by(sidecar, len(body(lines))))
    sidecar.kill()
    sidecar.start()
    sidecar.arrives(10)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines * 2)
