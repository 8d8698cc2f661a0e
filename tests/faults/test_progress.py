"""Progress is bytes: a slow machine, a short deadline or a slow line delays and never prevents."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.servers.processes import wait_until

EVENTS = '[[sink]]\nname = "lake"\ntype = "directory"\npath = "{lake}"\nformat = "event"\n'
"""Batches as large and as old as they are without a configuration: 32 MiB and 60 s."""
DEAD = '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n'
TWENTIETH = (4_500, 100_000)
"""4.5 % of a core, which is what `cpu: 50m` means in Kubernetes: quota and period in µs."""


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    made = Sidecar(tmp_path)
    yield made
    made.kill()


class Quota:
    """A control group that may use a share of a core; of version 1 or 2."""

    def __init__(self, name: str) -> None:
        first, second = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
        self._is_second = not first.is_dir()
        self.folder = (second if self._is_second else first) / f"{name}-{os.getpid()}"
        quota, period = TWENTIETH
        try:
            self.folder.mkdir()
            if self._is_second:
                (self.folder / "cpu.max").write_text(f"{quota} {period}")
            else:
                (self.folder / "cpu.cfs_period_us").write_text(str(period))
                (self.folder / "cpu.cfs_quota_us").write_text(str(quota))
        except OSError as error:
            pytest.skip(f"no control group can be made here: {error.strerror}")

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a command in the group."""
        script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        return ("sh", "-c", script, str(self.folder))

    def count_throttled(self) -> int:
        """How often the group had to wait."""
        fields = dict(line.split() for line in (self.folder / "cpu.stat").read_text().splitlines())
        return int(fields["nr_throttled"])

    def close(self) -> None:
        """Remove the group; its last process has just ended."""
        wait_until(lambda: not (self.folder / "cgroup.procs").read_text())
        self.folder.rmdir()


@pytest.fixture
def quota() -> Iterator[Quota]:
    made = Quota("tracesidecar-progress")
    yield made
    made.close()


def _write(sidecar: Sidecar, files: int, lines: int) -> Counter[bytes]:
    written = Counter[bytes]()
    for number in range(files):
        made = number_lines(number * lines, lines, more="x" * 400)
        append(sidecar.traces / f"{number}.jsonl", made)
        written.update(made)
    return written


def _count_arrived(sidecar: Sidecar) -> Counter[bytes]:
    """The lines in the lake, as they were written."""
    return Counter(
        event["raw"].encode() if isinstance(event.get("raw"), str) else json.dumps(event).encode()
        for event in map(json.loads, sidecar.lines())
    )


def _ship(sidecar: Sidecar) -> int:
    sidecar.start("ship", "--once")
    assert sidecar.daemon is not None
    return sidecar.daemon.wait(900)


def test_ship_once_needs_no_more_than_one_run_with_a_deadline_of_a_tenth_of_a_second(
    sidecar: Sidecar,
) -> None:
    """The deadline is for standing still, not for the work."""
    sidecar.configure(EVENTS.format(lake=sidecar.lake), daemon='drain_deadline = "100ms"')
    written = _write(sidecar, 4, 2500)
    assert sidecar.ship().returncode == 0
    assert _count_arrived(sidecar) == written


@pytest.mark.long
def test_ship_once_converges_at_a_twentieth_of_a_core(sidecar: Sidecar, quota: Quota) -> None:
    sidecar.configure(EVENTS.format(lake=sidecar.lake), daemon='drain_deadline = "1s"')
    sidecar.prefix = quota.prefix
    written = _write(sidecar, 4, 2500)
    assert _ship(sidecar) == 0
    assert quota.count_throttled() > 10
    assert _count_arrived(sidecar) == written


@pytest.mark.long
def test_a_drain_commits_something_before_its_deadline_and_keeps_to_it(sidecar: Sidecar) -> None:
    """Each run starts with more than it can deliver in the time that it has."""
    sidecar.configure(EVENTS.format(lake=sidecar.lake), daemon='drain_deadline = "3s"')
    written = _write(sidecar, 6, 12_000)
    runs = grown = 0
    while True:
        sidecar.start()
        runs += 1
        before = len(sidecar.objects())
        sidecar.wait_for_event("sink.connected", runs)
        began = time.monotonic()
        code = sidecar.stop()
        assert time.monotonic() - began < 60
        assert code in {0, 75}
        if code == 0:
            break
        grown += len(sidecar.objects()) > before
        assert runs < 30
    assert runs == 1 or grown, "a batch was closed early enough to be committed"
    assert _count_arrived(sidecar) == written


def test_ship_once_delivers_what_it_has_read_before_a_sigterm_ends_it(sidecar: Sidecar) -> None:
    sidecar.configure(EVENTS.format(lake=sidecar.lake), daemon='drain_deadline = "20s"')
    written = _write(sidecar, 6, 12_000)
    sidecar.start("ship", "--once")
    sidecar.wait_for_event("pipeline.first_read")
    code = sidecar.stop()
    if code:
        assert code == 75
        [incomplete] = [e for e in sidecar.events() if e.get("event") == "drain.incomplete"]
        assert incomplete["end"] == "interrupted"
    assert sidecar.objects()
    assert sidecar.ship().returncode == 0
    assert _count_arrived(sidecar) == written


def test_a_drain_that_ends_early_says_why(sidecar: Sidecar) -> None:
    sidecar.configure(DEAD, daemon='drain_deadline = "500ms"')
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    done = sidecar.ship("--json")
    assert done.returncode == 75
    outcome = json.loads(done.stdout)
    assert (outcome["reason"], outcome["end"], outcome["has_scanned"]) == (
        "left_behind",
        "stalled",
        True,
    )
    records = [json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{")]
    [incomplete] = [record for record in records if record["event"] == "drain.incomplete"]
    assert incomplete["problem"] == ("nothing moved any more for as long as drain_deadline allows")
    assert incomplete["bytes"] == (sidecar.traces / "a.jsonl").stat().st_size
    [draining] = [record for record in records if record["event"] == "service.draining"]
    assert draining["stall_seconds"] == 0.5


@pytest.mark.long
def test_a_slow_line_holds_up_neither_the_pages_nor_the_drain(sidecar: Sidecar) -> None:
    """A line of 24 MB in which everything looks like a secret."""
    sidecar.configure(LAKE.format(lake=sidecar.lake), daemon='drain_deadline = "5s"')
    words = [f"password=abc{number}defgh eyJhbGciOi{number}" for number in range(700_000)]
    (sidecar.traces / "slow.jsonl").write_bytes(json.dumps({"t": words}).encode() + b"\n")
    append(sidecar.traces / "plain.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.wait_for_event("sink.connected")
    slowest = 0.0
    while len(sidecar.lines()) < 10:
        began = time.monotonic()
        assert sidecar.get("/livez")[0] == 200
        slowest = max(slowest, time.monotonic() - began)
        append(sidecar.traces / "plain.jsonl", [])
    assert slowest < 60
    assert sidecar.stop(signal.SIGTERM) in {0, 75}
    assert sidecar.ship().returncode == 0
    assert [line for line in sidecar.lines() if b'"n"' in line] == number_lines(0, 10)
