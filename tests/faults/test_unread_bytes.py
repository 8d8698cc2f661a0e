"""Bytes that cannot be read and that our hard link keeps are late, not gone, and everybody says so.

They are lag and at risk in every place that has these figures, with and without a daemon; a drain
ends with 75 because of them; and there is a loss only once nothing keeps them.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.faults.failing_calls import FailingCalls, build_library
from tests.faults.test_known_losses import count_open_files
from tests.servers.processes import wait_until


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    made = Sidecar(tmp_path)
    made.configure(LAKE.format(lake=made.lake), daemon='drain_deadline = "5s"')
    yield made
    made.kill()


@pytest.fixture
def weak(sidecar: Sidecar) -> Sidecar:
    """A daemon that may not read everything."""
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed, and root may read everything")
        sidecar.prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    return sidecar


def list_links(sidecar: Sidecar) -> list[Path]:
    return [path for path in (sidecar.state / "held").iterdir() if path.is_file()]


def leave_unread(sidecar: Sidecar, kind: str) -> tuple[Path, int]:
    """Let a file be deleted that has unread bytes, and its link; return the path and how many."""
    append(sidecar.traces / "kept.jsonl", number_lines(0, 1))
    path = sidecar.traces / "a.jsonl"
    if kind == "grown":
        append(path, number_lines(1, 3))
    sidecar.start()
    sidecar.arrives(4 if kind == "grown" else 1)
    if kind == "grown":
        wait_until(lambda: count_open_files(sidecar, sidecar.traces) == 0)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        path.chmod(0)
        os.write(descriptor, body(number_lines(4, 5)))
        os.close(descriptor)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0)
        os.write(descriptor, body(number_lines(1, 8)))
        os.close(descriptor)
    unread = path.stat().st_size - (len(body(number_lines(1, 3))) if kind == "grown" else 0)
    wait_until(lambda: count_lag(sidecar) == unread)
    path.unlink()
    wait_until(lambda: b"\ntracesidecar_held_bytes 0.0" not in sidecar.get("/metrics")[1])
    return path, unread


def count_lag(sidecar: Sidecar) -> int:
    sinks = json.loads(sidecar.get("/status")[1])["sinks"]
    return int(sinks[0]["lag_bytes"]) if sinks else 0


def show(sidecar: Sidecar, path: Path, unread: int) -> None:
    """Assert what `status` and `explain` say, whoever counts."""
    document = json.loads(sidecar.ask("status", "--json").stdout)
    (sink,), (source,) = document["sinks"], document["sources"]
    assert (sink["lag_bytes"], source["at_risk_bytes"]) == (unread, unread)
    assert (source["lost_bytes"], source["lost_files_uncounted"]) == (0, 0)
    assert document["held"]["bytes"] == len(body(number_lines(1, 8)))
    ranges = json.loads(sidecar.ask("explain", str(path), "--json").stdout)["ranges"]
    pieces = [piece for each in ranges for piece in each["pieces"]]
    assert (pieces[-1]["state"], pieces[-1]["end"] - pieces[-1]["start"]) == ("unread", unread)
    assert "could not be read" in pieces[-1]["detail"]


@pytest.mark.parametrize("kind", ["grown", "new"])
@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.long)],
)
def test_unread_bytes_of_a_deleted_file_are_lag_until_they_have_arrived(
    weak: Sidecar, kind: str, number: signal.Signals
) -> None:
    path, unread = leave_unread(weak, kind)
    reason = f"source agent: {unread} bytes of 1 file {path} cannot be read ("
    wait_until(lambda: weak.get("/readyz")[1].decode().startswith(reason))
    assert weak.get("/readyz")[0] == 503
    metrics = weak.get("/metrics")[1].decode()
    for name in ('lag_bytes{sink="lake"}', "at_risk_bytes"):
        assert f"\ntracesidecar_{name} {float(unread)}\n" in metrics
    document = json.loads(weak.get("/status")[1])
    assert (document["at_risk_bytes"], document["is_ready"]) == (unread, False)
    show(weak, path, unread)
    assert weak.stop(number) == (75 if number is signal.SIGTERM else -signal.SIGKILL)
    show(weak, path, unread)
    if number is signal.SIGTERM:
        (left,) = [event for event in weak.events() if event["event"] == "drain.left_behind"]
        assert (left["path"], left["bytes"]) == (str(path), unread)
        assert "let this user read" in str(left["problem"])
        (end,) = [event for event in weak.events() if event["event"] == "drain.incomplete"]
        assert f"{unread} bytes cannot be read" in str(end["problem"])
    weak.start()
    weak.wait_for_event("sink.connected", 2)  # before, the page does not answer
    wait_until(lambda: weak.get("/readyz")[1].decode().startswith(reason))
    assert count_lag(weak) == unread
    for link in list_links(weak):
        link.chmod(0o600)
    weak.arrives(9)
    wait_until(lambda: (weak.get("/readyz"), count_lag(weak)) == ((200, b"ok\n"), 0))
    assert weak.stop() == 0
    assert Counter(weak.lines()) == Counter(number_lines(0, 9))
    assert [event for event in weak.events() if event["event"] == "collect.lost"] == []
    assert weak.ask("verify", "lake").returncode == 0


def test_a_new_file_that_cannot_be_read_and_moved_away_arrives_from_where_it_is(
    weak: Sidecar,
) -> None:
    append(weak.traces / "kept.jsonl", number_lines(0, 1))
    weak.start()
    weak.arrives(1)
    path, outside = weak.traces / "a.jsonl", weak.folder / "outside"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0)
    os.write(descriptor, body(number_lines(1, 5)))
    os.close(descriptor)
    wait_until(lambda: count_lag(weak) == path.stat().st_size)
    path.rename(outside)
    append(weak.traces / "later.jsonl", number_lines(6, 1))
    weak.arrives(2)
    assert weak.stop() == 75
    weak.start()
    weak.wait_for_event("sink.connected", 2)
    wait_until(lambda: count_lag(weak) == outside.stat().st_size)
    outside.chmod(0o600)
    weak.arrives(7)
    assert weak.stop() == 0
    assert Counter(weak.lines()) == Counter(number_lines(0, 7))
    assert [event for event in weak.events() if event["event"] == "collect.lost"] == []


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("failing-calls"))


@pytest.fixture
def calls(library: Path, tmp_path: Path) -> FailingCalls:
    return FailingCalls(library, tmp_path)


@pytest.mark.parametrize("call", [pytest.param("open", marks=pytest.mark.long), "read"])
def test_one_file_on_a_broken_place_holds_up_no_other_and_waits_after_its_deletion(
    sidecar: Sidecar, calls: FailingCalls, call: str
) -> None:
    """Known, grown, on offer and committed: whatever looks at it meets the error."""
    known, fresh = sidecar.traces / "known.jsonl", sidecar.traces / "known.jsonl-new.jsonl"
    append(known, number_lines(0, 5))
    sidecar.start(**calls.environment, TRACESIDECAR_NOTICES="off")
    sidecar.arrives(5)
    wait_until(lambda: count_open_files(sidecar, sidecar.traces) == 0)
    before = calls.begin(errno.EIO, known, call, others=(sidecar.state / "held",))
    append(known, number_lines(5, 5))
    append(fresh, number_lines(10, 5))
    unread = len(body(number_lines(5, 10)))
    calls.wait_for_more(before)
    wait_until(lambda: count_lag(sidecar) == unread)
    for path in (known, fresh):
        path.unlink()
    for number in range(3):  # that begin as it does, and are compared with it
        append(sidecar.traces / f"other-{number}.jsonl", [*number_lines(0, 5), b"%d" % number])
    sidecar.arrives(5 + 18)
    wait_until(lambda: count_lag(sidecar) == unread)
    assert json.loads(sidecar.get("/status")[1])["at_risk_bytes"] == unread
    assert not [event for event in sidecar.events() if event["event"] == "collect.scan_failed"]
    assert sidecar.stop() == 75
    calls.end()
    assert sidecar.ship().returncode == 0
    wanted = (
        Counter(number_lines(0, 15)) + Counter(3 * number_lines(0, 5)) + Counter([b"0", b"1", b"2"])
    )
    assert Counter(sidecar.lines()) == wanted
    assert [event for event in sidecar.events() if event["event"] == "collect.lost"] == []
