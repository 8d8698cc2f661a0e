"""Whatever the umask of its caller, the daemon's files have their documented modes, from the first
moment: others read neither the state nor, but for a group, what is delivered.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.servers.processes import wait_until

SINKS = (
    LAKE
    + '[[sink]]\nname = "rows"\ntype = "sql"\nurl = "sqlite://{folder}/rows.sqlite"\n'
    + '[[sink]]\nname = "ducks"\ntype = "sql"\nurl = "duckdb://{folder}/ducks.duckdb"\n'
)
OF_THE_GROUP = ("lake", "rows.sqlite", "ducks.duckdb")


def modes(folder: Path) -> dict[str, int]:
    """Return the mode of everything that the daemon has made below a folder, by relative path."""
    found: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.relative_to(folder).parts[0] not in {"traces", "tracesidecar.toml", "log.jsonl"}:
            with suppress(FileNotFoundError):  # the daemon has renamed it
                found[str(path.relative_to(folder))] = stat.S_IMODE(path.lstat().st_mode)
    return found


@pytest.mark.parametrize("umask", ["000", "077"])
def test_every_file_has_its_documented_mode_whatever_the_umask(
    sidecar: Sidecar, umask: str
) -> None:
    for path in sidecar.state.iterdir():
        path.chmod(0o755 if path.is_dir() else 0o644)  # as an earlier version left its log
    sidecar.configure(SINKS.format(lake=sidecar.lake, folder=sidecar.folder))
    text = sidecar.config.read_text()
    socket = sidecar.folder / "health.sock"
    sidecar.config.write_text(text.replace(f"127.0.0.1:{sidecar.port}", f"unix:{socket}"))
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    sidecar.prefix = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    sidecar.start()
    sidecar.arrives(3)
    wait_until(lambda: {"rows.sqlite", "ducks.duckdb"} <= {*modes(sidecar.folder)})
    wait_until(lambda: "state/journal.sqlite-wal" in modes(sidecar.folder))
    wait_until(lambda: (sidecar.folder / "ducks.duckdb").stat().st_mode & 0o777 == 0o640)
    # DuckDB makes it with the mode of our umask, which is closed; it is opened afterwards
    wait_until(lambda: modes(sidecar.folder).get("ducks.duckdb.wal", 0o640) == 0o640)
    found = modes(sidecar.folder)
    sidecar.stop()
    expected = {
        name: (0o750 if (sidecar.folder / name).is_dir() else 0o640)
        if name.startswith(OF_THE_GROUP)
        else (0o700 if (sidecar.folder / name).is_dir() else 0o600)
        for name in found
        if not name.endswith(".tmp") and not name.startswith("state/held/")  # the agent's files
    }
    assert {name: oct(found[name]) for name in expected} == {
        name: oct(mode) for name, mode in expected.items()
    }
    assert {"state/status.sock", "state/lock", "state/journal.sqlite-shm", "health.sock"} <= {
        *found
    }


def test_a_new_journal_is_never_readable_by_others(tmp_path: Path, sidecar: Sidecar) -> None:
    """Also in a program that has another umask, and where the state directory has to be made."""
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    deep = tmp_path / "deep" / "er" / "state"
    text = sidecar.config.read_text().replace(str(sidecar.state), str(deep))
    sidecar.config.write_text(text)
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    assert sidecar.ship().returncode == 0
    assert stat.S_IMODE(deep.stat().st_mode) == 0o700
    assert stat.S_IMODE(deep.parent.stat().st_mode) == 0o755, "a lake may be beside it"
    assert {stat.S_IMODE((deep / name).stat().st_mode) for name in ("lock", "journal.sqlite")} == {
        0o600
    }


TRY = """
import json, os, socket, sys
may = []
for folder, names, files in os.walk(sys.argv[1], onerror=lambda error: None):
    for name in [*names, *files]:
        path = os.path.join(folder, name)
        for what, right in (("read", os.R_OK), ("change", os.W_OK)):
            if os.access(path, right):
                may.append(f"{what} {os.path.relpath(path, sys.argv[1])}")
for path in ("state/status.sock", "health.sock"):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(os.path.join(sys.argv[1], path))
            may.append(f"ask {path}")
        except PermissionError:
            pass
print(json.dumps(sorted(may)))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reads_nothing_changes_nothing_and_asks_nothing() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        place = Path(folder)
        place.chmod(0o755)
        sidecar = Sidecar(place)
        sidecar.configure(SINKS.format(lake=sidecar.lake, folder=place))
        socket = place / "health.sock"
        text = sidecar.config.read_text().replace(f"127.0.0.1:{sidecar.port}", f"unix:{socket}")
        sidecar.config.write_text(text)
        append(sidecar.traces / "a.jsonl", number_lines(0, 3))
        sidecar.prefix = ("sh", "-c", 'umask 000; exec "$@"', "sh")
        sidecar.start()
        sidecar.arrives(3)
        wait_until(lambda: socket.exists() and (place / "ducks.duckdb").exists())
        wait_until(lambda: modes(place)["ducks.duckdb"] == 0o640)
        done = subprocess.run(
            [
                shutil.which("python3", path="/usr/bin:/usr/local/bin") or "python3",
                "-c",
                TRY,
                folder,
            ],
            user=65533,
            group=65533,
            extra_groups=[],
            capture_output=True,
            check=True,
        )
        sidecar.stop()
    assert json.loads(done.stdout) == [
        "read log.jsonl",
        "read traces",
        "read traces/a.jsonl",
        "read tracesidecar.toml",
    ], "what the test has made, and nothing of the daemon's"
