"""An I/O error, a quota that is used up and a stale handle pass: nothing of them becomes permanent.

Where they strike the state directory, the daemon waits and never exits with 78; where they strike
a trace file or its link, it tries again, and every line arrives once.
"""

from __future__ import annotations

import errno
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.faults.failing_calls import FailingCalls, build_library
from tests.servers.processes import wait_until

PASSING = [
    pytest.param(errno.EDQUOT, id="EDQUOT"),
    pytest.param(errno.EIO, id="EIO", marks=pytest.mark.long),
    pytest.param(errno.ESTALE, id="ESTALE", marks=pytest.mark.long),
]
DEAD = '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n'


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("failing-calls"))


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    made = Sidecar(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def calls(library: Path, tmp_path: Path) -> FailingCalls:
    return FailingCalls(library, tmp_path)


@pytest.mark.parametrize("number", PASSING)
def test_no_call_that_fails_while_running_loses_or_repeats_a_line(
    number: int, sidecar: Sidecar, calls: FailingCalls
) -> None:
    """Link, open, read and list of the traces; write and fsync of journal and lake."""
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    sidecar.start(**calls.environment, TRACESIDECAR_NOTICES="off")
    sidecar.wait_for_event("service.ready")
    written: list[bytes] = []
    strikes = [
        (sidecar.traces, "link"),
        (sidecar.traces, "open"),
        (sidecar.traces, "read"),
        (sidecar.traces, "list"),
        (sidecar.state / "journal.sqlite", "write"),
        (sidecar.state / "journal.sqlite", "fsync"),
        (sidecar.lake, "write"),
        (sidecar.lake, "fsync"),
    ]
    for step, (path, call) in enumerate(strikes):
        lines = number_lines(len(written), 5)
        written += lines
        before = calls.begin(number, path, call)
        append(sidecar.traces / f"{step}.jsonl", lines)
        calls.wait_for_more(before)
        calls.end()
        sidecar.arrives(len(written))
        assert not sidecar.has_ended(), call
    held = sidecar.state / "held"
    wait_until(lambda: len([each for each in held.iterdir() if each.is_file()]) == len(strikes))
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(written)
    assert sidecar.list_quarantined() == []
    (source,) = json.loads(sidecar.call("status", "--json").stdout)["sources"]
    assert (source["lost_bytes"], source["lost_files_uncounted"]) == (0, 0)


@pytest.mark.parametrize("number", PASSING)
@pytest.mark.parametrize(
    ("call", "place"),
    [
        ("open", "journal.sqlite"),
        ("read", "journal.sqlite"),
        ("write", "journal.sqlite"),
        ("fsync", "journal.sqlite"),
        ("open", ""),
    ],
)
def test_a_state_directory_that_fails_at_the_start_is_waited_for(
    number: int, call: str, place: str, sidecar: Sidecar, calls: FailingCalls
) -> None:
    lines = number_lines(0, 10)
    append(sidecar.traces / "a.jsonl", lines)
    before = calls.begin(number, sidecar.state / place, call)
    sidecar.start(**calls.environment)
    calls.wait_for_more(before)
    calls.wait_for_more(calls.count)
    assert not sidecar.has_ended(), sidecar.events()
    calls.end()
    sidecar.arrives(len(lines))
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines)


@pytest.mark.parametrize("number", [errno.ENOTCONN, *PASSING[1:]])
@pytest.mark.parametrize("place", ["traces", "state"])
def test_a_directory_that_cannot_be_looked_at_at_the_start_is_waited_for(
    number: int, place: str, sidecar: Sidecar, calls: FailingCalls
) -> None:
    """A server that is away is no mistake in the configuration, and 78 would end it for good."""
    sidecar.traces = sidecar.folder / "agent"  # a name with which nothing else begins
    sidecar.traces.mkdir()
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    lines = number_lines(0, 10)
    append(sidecar.traces / "a.jsonl", lines)
    directory = sidecar.traces if place == "traces" else sidecar.state
    before = calls.begin(number, directory, "look", "open", "list")
    checked = sidecar.call("check-config", stdin=b"", **calls.environment)
    assert checked.returncode == 0, checked.stderr
    if place == "traces":
        said = " ".join((checked.stdout + checked.stderr).decode().split())
        assert f"cannot be read now: {os.strerror(number)}" in said
    sidecar.start(**calls.environment)
    calls.wait_for_more(before)
    sidecar.wait_for_event("service.ready" if place == "traces" else "state.unavailable")
    calls.wait_for_more(calls.count)
    assert not sidecar.has_ended(), sidecar.events()
    calls.end()
    sidecar.arrives(len(lines))
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines)


@pytest.mark.parametrize("name", ["tracesidecar.toml", "token", "ca.pem"])
def test_a_configuration_that_cannot_be_read_now_is_no_mistake_in_it(
    name: str, sidecar: Sidecar, calls: FailingCalls
) -> None:
    """After 75 systemd starts it again, after 78 never; the file may be on a server."""
    (sidecar.folder / "token").write_text("secret")
    trustme.CA().cert_pem.write_to_path(str(sidecar.folder / "ca.pem"))
    sidecar.configure(
        LAKE.format(lake=sidecar.lake),
        more='[[sink]]\nname = "far"\ntype = "http"\nurl = "https://127.0.0.1:9/"\n'
        f'required = false\nauth.type = "bearer"\nauth.token = "${{file:{sidecar.folder}/token}}"\n'
        f'tls = {{ ca_file = "{sidecar.folder}/ca.pem" }}\n',
    )
    calls.begin(errno.ESTALE, sidecar.folder / name, "look" if name == "ca.pem" else "open")
    for words in (["run"], ["ship", "--once"], ["verify", "lake"]):
        done = sidecar.call(*words, stdin=b"", **calls.environment)
        assert done.returncode == 75, done.stderr
        assert os.strerror(errno.ESTALE).encode() in done.stderr
        assert b"try again" in done.stderr
    (found,) = json.loads(
        sidecar.call("check-config", "--json", stdin=b"", **calls.environment).stdout
    )["problems"]
    assert found["may_pass"] is True


def test_a_page_of_the_journal_that_cannot_be_read_is_no_damage(
    sidecar: Sidecar, calls: FailingCalls
) -> None:
    """SQLite calls its schema malformed if the disk cannot read it."""
    lines = number_lines(0, 10)
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.ship().returncode == 0
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    before = calls.begin(errno.EIO, sidecar.state / "journal.sqlite", "page")
    asked = sidecar.call("status", stdin=b"", **calls.environment)
    assert (asked.returncode, b"is damaged" in asked.stderr) == (75, False)
    sidecar.start(**calls.environment)
    calls.wait_for_more(before)
    sidecar.wait_for_event("state.unavailable")
    calls.wait_for_more(calls.count)
    assert not sidecar.has_ended()
    problems = {str(each.get("problem")) for each in sidecar.events()}
    assert any("look at the disk" in problem for problem in problems)
    calls.end()
    sidecar.arrives(20)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 20))


def test_a_journal_that_takes_no_new_file_is_a_reason_not_to_be_ready(
    sidecar: Sidecar, calls: FailingCalls
) -> None:
    """Nothing new was read while its disk was full, and all pages said that all was well."""
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start(**calls.environment)
    sidecar.arrives(10)
    wait_until(lambda: sidecar.get("/readyz")[0] == 200)
    before = calls.begin(errno.ENOSPC, sidecar.state / "journal.sqlite", "write")
    append(sidecar.traces / "b.jsonl", number_lines(10, 10))
    calls.wait_for_more(before)
    wait_until(lambda: b"the files cannot be scanned now: the journal" in sidecar.get("/readyz")[1])
    assert b"cannot be scanned" in sidecar.call("status", stdin=b"").stdout
    calls.end()
    sidecar.arrives(20)
    wait_until(lambda: sidecar.get("/readyz")[0] == 200)
    assert sidecar.stop() == 0


@pytest.mark.parametrize("number", PASSING)
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_journal_that_fails_at_the_end_is_no_bug_and_no_mistake_of_a_person(
    number: int, call: str, sidecar: Sidecar, calls: FailingCalls
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), daemon='drain_deadline = "2s"')
    lines = number_lines(0, 10)
    append(sidecar.traces / "a.jsonl", lines)
    sidecar.start(**calls.environment)
    sidecar.arrives(len(lines))
    lines += number_lines(10, 10)
    before = calls.begin(number, sidecar.state / "journal.sqlite", call)
    append(sidecar.traces / "b.jsonl", lines[10:])
    calls.wait_for_more(before)
    assert sidecar.stop(signal.SIGTERM) in {0, 75}
    calls.end()
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines)


@pytest.mark.parametrize("number", PASSING)
def test_ship_once_that_never_gets_the_journal_says_75(
    number: int, sidecar: Sidecar, calls: FailingCalls
) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake), daemon='drain_deadline = "1s"')
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    calls.begin(number, sidecar.state / "journal.sqlite", "write")
    done = sidecar.call("ship", "--once", "--json", stdin=b"", **calls.environment)
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (75, "unavailable")
    calls.end()
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 10))


@pytest.mark.parametrize("number", [*PASSING, errno.EACCES])
@pytest.mark.parametrize(
    ("call", "event"), [("list", "state.unavailable"), ("open", "service.ready")]
)
def test_held_data_that_cannot_be_seen_at_the_start_is_not_given_up(
    number: int, call: str, event: str, sidecar: Sidecar, calls: FailingCalls
) -> None:
    sidecar.configure(DEAD, daemon='drain_deadline = "300ms"')
    lines = number_lines(0, 10)
    append(sidecar.traces / "a.jsonl", lines)
    sidecar.ship()
    (sidecar.traces / "a.jsonl").unlink()
    held = sidecar.state / "held"
    assert len([each for each in held.iterdir() if each.is_file()]) == 1
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    before = calls.begin(number, held, call)
    sidecar.start(**calls.environment)
    calls.wait_for_more(before)
    sidecar.wait_for_event(event)
    calls.end()
    sidecar.arrives(len(lines))
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines)
    (source,) = json.loads(sidecar.call("status", "--json").stdout)["sources"]
    assert source["lost_bytes"] == 0


@pytest.mark.parametrize(
    ("number", "call"),
    [
        (errno.EMFILE, "open"),
        pytest.param(errno.EACCES, "open", marks=pytest.mark.long),
        (errno.EIO, "read"),
    ],
)
def test_a_sink_that_starts_now_skips_what_could_not_be_read_at_its_start(
    number: int, call: str, sidecar: Sidecar, calls: FailingCalls
) -> None:
    """Lines that were there before are not taken, lines that are appended while it lasts are."""
    sidecar.configure(
        LAKE.format(lake=sidecar.lake) + 'start = "now"\n', daemon='drain_deadline = "1s"'
    )
    trace = sidecar.traces / "a.jsonl"
    append(trace, number_lines(0, 10))
    with trace.open("ab") as file:
        file.write(b'{"n": 10, ')
    before = calls.begin(number, trace, call)
    sidecar.start(**calls.environment)
    calls.wait_for_more(before)
    sidecar.wait_for_event("service.ready")
    with trace.open("ab") as file:
        file.write(b'"text": "line 10"}\n')
    append(trace, number_lines(11, 5))
    assert sidecar.stop() in (0, 75)
    calls.end()
    sidecar.start()  # what was there at the first start is known after a restart
    sidecar.arrives(6)
    append(trace, number_lines(16, 2))
    sidecar.arrives(8)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(10, 8))
    assert sidecar.list_quarantined() == []
    assert sidecar.call("verify", "lake").returncode == 0
