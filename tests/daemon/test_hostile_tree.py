"""An agent that puts links, FIFOs and other people's files into its tree, and a daemon of root."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.faults.race import KernelEvents
from tests.servers.processes import wait_until

AGENT, OTHER = 12345, 12346
SECRET = {"text": "of another user"}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make files of several users"
)


def give(path: Path, owner: int) -> None:
    os.chown(path, owner, owner, follow_symlinks=False)


def plant(sidecar: Sidecar) -> list[Path]:
    """Make a hostile tree; return its symbolic links."""
    give(sidecar.traces, AGENT)
    secret = sidecar.folder / "secret.json"
    secret.write_text(json.dumps(SECRET) + "\n")
    secret.chmod(0o600)
    (sidecar.traces / "deep").mkdir()
    links = [
        sidecar.traces / "secret.jsonl",
        sidecar.traces / "machine",
        sidecar.traces / "lake",
        sidecar.traces / "deep" / "state",
    ]
    targets = (secret, Path("/"), sidecar.lake, sidecar.state)
    for link, target in zip(links, targets, strict=True):
        link.symlink_to(target)
        give(link, AGENT)
    os.mkfifo(sidecar.traces / "fifo.jsonl")
    foreign = sidecar.folder / "foreign.json"
    foreign.write_text(json.dumps(SECRET) + "\n")
    give(foreign, OTHER)
    os.link(foreign, sidecar.traces / "foreign.jsonl")
    return links


def count_skipped(sidecar: Sidecar, reason: str) -> int:
    """What the metric says."""
    page = sidecar.get("/metrics")[1].decode()
    (found,) = re.findall(
        rf'^tracesidecar_skipped{{reason="{reason}",source="agent"}} ([0-9.]+)$', page, re.MULTILINE
    )
    return int(float(found))


def test_a_daemon_of_root_ships_the_agents_lines_and_says_what_it_skips(sidecar: Sidecar) -> None:
    links = plant(sidecar)
    append(sidecar.traces / "own.jsonl", number_lines(0, 5))
    sidecar.start()
    sidecar.arrives(5)
    append(sidecar.traces / "deep" / "own.jsonl", number_lines(5, 5))
    sidecar.arrives(10)
    wait_until(lambda: count_skipped(sidecar, "link") == len(links))
    assert (count_skipped(sidecar, "owner"), count_skipped(sidecar, "own")) == (1, 0)
    status = sidecar.call("status").stdout.decode()
    assert f"3 symbolic links in {sidecar.traces}, such as lake, are not followed" in status
    (source,) = {
        each["source"]
        for each in json.loads(sidecar.call("status", "--json").stdout)["left_out"]
        if each["kind"] == "link"
    }
    assert source == "agent"
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 10))
    warnings = [
        (event["kind"], event["path"])
        for event in sidecar.events()
        if event["event"] == "collect.warning"
    ]
    assert Counter(warnings) == Counter(
        [
            *(("skipped_link", str(link)) for link in links),
            ("refused", str(sidecar.traces / "fifo.jsonl")),
            ("withheld", str(sidecar.traces / "foreign.jsonl")),
        ]
    )
    assert "of another user" not in sidecar.log.read_text()
    written = sidecar.call("init", "--force").stdout.decode()
    assert f"3 symbolic links in {sidecar.traces}, such as lake, are not followed" in written


def test_a_link_to_the_lake_does_not_feed_it_to_itself(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), source='symlinks = "follow"')
    sidecar.lake.mkdir()
    (sidecar.traces / "lake").symlink_to(sidecar.lake)
    append(sidecar.traces / "own.jsonl", number_lines(0, 5))
    for number in range(3):
        assert sidecar.ship().returncode == 0
        append(sidecar.traces / "own.jsonl", number_lines(5 + number, 1))
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 8))


def test_a_bind_mount_of_a_folder_of_the_lake_is_known_as_ours(sidecar: Sidecar) -> None:
    """It has another path and no link; only its place in the file system is the lake's."""
    append(sidecar.traces / "own.jsonl", number_lines(0, 5))
    assert sidecar.ship().returncode == 0
    (folder,) = sidecar.lake.glob("**/raw/v1") or sidecar.lake.glob("**/v1")
    shown = sidecar.traces / "shown"
    shown.mkdir()
    script = sidecar.folder / "mounted.sh"
    script.write_text(f'mount --bind "{folder}" "{shown}" && exec "$@"\n')
    sidecar.prefix = ("unshare", "-m", "sh", str(script))
    append(folder / "planted.jsonl", number_lines(100, 1))
    append(sidecar.traces / "own.jsonl", number_lines(5, 1))
    sidecar.start()
    sidecar.arrives(6)
    sidecar.wait_for_event("collect.warning")
    (warning,) = (event for event in sidecar.events() if event["event"] == "collect.warning")
    assert (warning["kind"], warning["path"]) == ("own_output", str(shown))
    assert sidecar.stop() == 0
    (folder / "planted.jsonl").unlink()
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 6))


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_database_of_ours_is_not_read_whatever_leads_to_it(sidecar: Sidecar, kind: str) -> None:
    database = sidecar.folder / "events.db"
    sidecar.configure(
        f'[[sink]]\nname = "sql"\ntype = "sql"\nurl = "{kind}://{database}"\n'
        + LAKE.format(lake=sidecar.lake),
        source='symlinks = "follow"',
    )
    append(sidecar.traces / "own.jsonl", number_lines(0, 5))
    assert sidecar.ship().returncode == 0
    (sidecar.traces / "linked.jsonl").symlink_to(database)
    os.link(database, sidecar.traces / "hard.jsonl")
    os.link(sidecar.state / "journal.sqlite", sidecar.traces / "journal.jsonl")
    append(sidecar.traces / "own.jsonl", number_lines(5, 1))
    shipped = sidecar.ship()
    assert shipped.returncode == 0, shipped.stderr
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 6))
    assert not sidecar.list_quarantined()


def test_scan_follows_no_link_of_the_agents(sidecar: Sidecar) -> None:
    """Nobody is to learn by our rules what is in a file that only root may read."""
    key = "AKIA" + "QWERTYUIOPASDFGH"  # in parts, so that no scanner of this repository minds
    outside = sidecar.folder / "outside"
    outside.mkdir(mode=0o700)
    (outside / "a.jsonl").write_text(json.dumps({"key": key}) + "\n")
    for name, target in (("file.jsonl", outside / "a.jsonl"), ("folder", outside)):
        (sidecar.traces / name).symlink_to(target)
        give(sidecar.traces / name, AGENT)
    (sidecar.traces / "ours.jsonl").symlink_to("own.jsonl")
    append(sidecar.traces / "own.jsonl", number_lines(0, 5))
    watched = KernelEvents([outside, outside / "a.jsonl"])
    done = sidecar.call("scan", "--json", "traces/")
    assert done.returncode == 0
    files = {file["path"]: file for file in json.loads(done.stdout)["files"]}
    assert {path: file["lines"] for path, file in files.items()} == {
        "traces/file.jsonl": 0,
        "traces/ours.jsonl": 5,
        "traces/own.jsonl": 5,
    }
    assert "symbolic link" in files["traces/file.jsonl"]["trouble"]
    assert not watched.take()


def test_status_opens_nothing_through_a_link_in_a_hold_directory(sidecar: Sidecar) -> None:
    hold = sidecar.folder / "hold"
    hold.mkdir()
    give(hold, AGENT)
    sidecar.configure(LAKE.format(lake=sidecar.lake), source=f'hold_directory = "{hold}"')
    append(sidecar.traces / "own.jsonl", number_lines(0, 5))
    assert sidecar.ship().returncode == 0
    secret = sidecar.folder / "secret.json"
    secret.write_text(json.dumps(SECRET) + "\n")
    with closing(sqlite3.connect(sidecar.state / "journal.sqlite")) as journal:
        ((segment,),) = journal.execute("SELECT id FROM segment")
    (hold / f"segment-{segment}").symlink_to(secret)
    (sidecar.traces / "own.jsonl").rename(sidecar.traces / "own.bak")
    watched = KernelEvents([secret])
    assert sidecar.call("status", "--json").returncode == 0
    assert not watched.take()


def test_no_command_writes_through_a_link_of_another_user_to_the_state(sidecar: Sidecar) -> None:
    """Seen: a dry run of `recover` compiled its rules there, and `check-config` found it good."""
    target = sidecar.folder / "of-root"
    target.mkdir(mode=0o700)
    sidecar.state.rename(sidecar.folder / "warm")
    sidecar.state.symlink_to(target)
    give(sidecar.state, AGENT)
    sidecar.lake.mkdir()
    assert sidecar.ask("recover", "lake", "--dry-run").returncode == 64
    checked = sidecar.ask("check-config")
    assert checked.returncode == 78
    assert b"symbolic link of another user" in checked.stdout + checked.stderr
    assert sidecar.ship().returncode == 78
    assert list(target.iterdir()) == []
