"""`/status`, the metrics and `status --json` are one answer, and without a daemon the journal gives
the same figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.servers.processes import wait_until
from tests.warm import warm
from tracesidecar.daemon.status_server import StatusServer
from tracesidecar.errors import StateError
from tracesidecar.introspect.lag import estimate_since
from tracesidecar.introspect.status import StatusReport
from tracesidecar.introspect.status_socket import NoAnswer, listen, request_status
from tracesidecar.journal import Journal

DEAD = '[[sink]]\nname = "dead"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n'
SINK_KEYS = [
    "name",
    "type",
    "promise",
    "destination",
    "state",
    "delivered_lines",
    "delivered_bytes",
    "batches",
    "retries",
    "quarantined",
    "lag_bytes",
    "lag_seconds",
    "trouble",
    "repeated_bytes",
]
NOBODY = (
    b"tracesidecar status: no daemon runs with this state directory; "
    b"these figures are from the journal\n"
)
SOURCE_KEYS = [
    "name",
    "files",
    "bytes",
    "at_risk_bytes",
    "quarantined",
    "lost_bytes",
    "lost_files_uncounted",
    "protection",
    "rewritten",
    "limits",
]


def status(sidecar: Sidecar) -> Any:
    """What `status --json` prints, if stderr says so exactly where the daemon did not count."""
    done = sidecar.call("status", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["figures_from"], done.stderr) in (
        (0, "daemon", b""),
        (0, "journal", NOBODY),
    )
    return document


def page(sidecar: Sidecar) -> Any:
    return json.loads(sidecar.get("/status")[1])


def gauges(sidecar: Sidecar) -> dict[str, float]:
    lines = sidecar.get("/metrics")[1].decode().splitlines()
    return {
        name.removeprefix("tracesidecar_"): float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def with_backlog(sidecar: Sidecar) -> None:
    """Start a daemon with a live sink and a dead one, and files that were written an hour ago."""
    sidecar.configure(DEAD + LAKE.format(lake=sidecar.lake))
    for name in ("a.jsonl", "b.jsonl"):
        append(sidecar.traces / name, number_lines(0, 10))
        past = (sidecar.traces / name).stat().st_mtime - 3600
        os.utime(sidecar.traces / name, (past, past))
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    sidecar.arrives(20)


PAGE_ONLY = {"version", "stuck_seconds", "segments", "memory_bytes"}
SINK_PAGE_ONLY = {"required", "trouble"}
"""What only the page says. Every other key of it has its twin in the command's document."""

GROWS = ("lag_seconds", "retries")
"""Figures of a sink that are not the same a moment later."""


def select_what_the_page_has(document: Any) -> dict[str, Any]:
    """Say what a document of `status --json` says in the words of the page."""
    held, sources = document["held"], document["sources"]
    return {
        "is_ready": document["ready"],
        "why_not": document["why_not"],
        "files": sum(source["files"] for source in sources),
        "held_bytes": held["bytes"] + held["set_aside_bytes"],
        "at_risk_bytes": sum(source["at_risk_bytes"] for source in sources),
        "limits": [limit for source in sources for limit in source["limits"]],
        "sinks": [
            {key: sink[key] for key in ("name", "state", "lag_bytes", *GROWS)}
            for sink in document["sinks"]
        ],
    }


def select_what_the_command_has(document: Any) -> dict[str, Any]:
    """Leave out of a page what only the page says."""
    shared = {key: value for key, value in document.items() if key not in PAGE_ONLY}
    shared["sinks"] = [
        {key: value for key, value in sink.items() if key not in SINK_PAGE_ONLY}
        for sink in document["sinks"]
    ]
    return shared


def assert_one_answer(sidecar: Sidecar) -> tuple[Any, Any]:
    """Compare whole: the page and the command, asked between two looks at the page and metrics."""
    first, before = page(sidecar), gauges(sidecar)
    document = status(sidecar)
    after, last = gauges(sidecar), page(sidecar)
    shared, pages = (
        select_what_the_page_has(document),
        [select_what_the_command_has(p) for p in (first, last)],
    )
    for sink, former, later in zip(shared["sinks"], *(p["sinks"] for p in pages), strict=True):
        seconds = f'lag_seconds{{sink="{sink["name"]}"}}'
        assert former["lag_seconds"] <= before[seconds] <= sink["lag_seconds"]
        assert sink["lag_seconds"] <= after[seconds] <= later["lag_seconds"]
        assert former["retries"] <= sink["retries"] <= later["retries"]
        assert after[f'lag_bytes{{sink="{sink["name"]}"}}'] == sink["lag_bytes"]
        for each in (sink, former, later):
            for key in GROWS:
                del each[key]
    assert pages[0] == shared == pages[1]
    for name in ("held_bytes", "at_risk_bytes"):
        assert before[name] == after[name] == shared[name]
    assert after["ready"] == shared["is_ready"]
    return first, document


def test_the_page_the_metrics_and_the_command_agree_in_every_shared_figure(
    sidecar: Sidecar,
) -> None:
    with_backlog(sidecar)
    wait_until(lambda: {sink["lag_bytes"] for sink in page(sidecar)["sinks"]} == {0, size(sidecar)})
    for _ in range(2):  # as they started, and after a restart
        first, reported = assert_one_answer(sidecar)
        assert reported["running"] is True
        assert {sink["name"]: sink["lag_bytes"] for sink in reported["sinks"]} == {
            "dead": size(sidecar),
            "lake": 0,
        }
        assert reported["sinks"][0]["lag_seconds"] < 600, "not the age of the files"
        assert (first["at_risk_bytes"], first["files"]) == (0, 2)
        sidecar.kill()
        sidecar.start()
        sidecar.wait_for_event("service.ready", 2)


def test_bytes_of_deleted_files_and_of_links_set_aside_are_one_figure(sidecar: Sidecar) -> None:
    """Also where a backup has linked the deleted file, and after the daemon was killed."""
    unknown = sidecar.state / "held" / "unknown"
    unknown.mkdir(parents=True, mode=0o700)
    unknown.parent.chmod(0o700)
    (unknown / "segment-999:nobody:+nowhere+x.jsonl").write_bytes(b"{}\n" * 100)
    with_backlog(sidecar)
    kept = (sidecar.traces / "a.jsonl").stat().st_size
    (sidecar.traces / "a.jsonl").unlink()
    wait_until(lambda: page(sidecar)["held_bytes"] == kept + 300)
    (link,) = (sidecar.state / "held").glob("segment-*a.jsonl")
    os.link(link, sidecar.folder / "backup")
    _, reported = assert_one_answer(sidecar)
    held = reported["held"]
    assert (held["bytes"], held["set_aside_bytes"]) == (kept, 300)
    sidecar.kill()
    (unknown / "segment-998:nobody:+nowhere+y.jsonl").write_bytes(b"{}\n")
    held = status(sidecar)["held"]
    assert (held["bytes"], held["set_aside_bytes"]) == (kept, 303)


def size(sidecar: Sidecar) -> int:
    return sum(path.stat().st_size for path in sidecar.traces.iterdir())


def test_the_journal_has_the_same_figures_after_the_daemon_was_killed(sidecar: Sidecar) -> None:
    with_backlog(sidecar)
    # the journal learns of retries and states every few seconds
    wait_until(lambda: status(sidecar)["sinks"][1]["delivered_lines"] == 20)
    running = status(sidecar)
    sidecar.kill()
    assert (sidecar.state / "status.sock").exists(), "a killed daemon leaves its socket behind"
    killed = status(sidecar)
    assert (running.pop("running"), killed.pop("running")) == (True, False)
    origins = (running.pop("figures_from"), killed.pop("figures_from"))
    assert origins == ("daemon", "journal")
    assert "cannot connect" in running.pop("why_not")[0]
    assert killed.pop("why_not") == ["no daemon runs with this state directory"]
    for document, is_estimate in ((running, False), (killed, True)):
        for sink in document["sinks"]:
            seconds = sink.pop("lag_seconds")
            assert (seconds > 3600) is is_estimate or not sink["lag_bytes"]
            del sink["state"], sink["retries"], sink["trouble"]
    assert killed == running
    said = sidecar.call("status").stdout.decode()
    assert "no daemon runs with this state directory; these figures are from the journal\n" in said


@pytest.mark.long
def test_the_document_has_the_keys_that_scripts_rely_on(sidecar: Sidecar) -> None:
    with_backlog(sidecar)
    documents = [status(sidecar)]
    said = sidecar.call("status").stdout.decode()
    assert said.startswith("running, state in ")
    assert "journal" not in said
    sidecar.stop()
    sidecar.stop()
    documents.append(status(sidecar))
    for document in documents:
        assert list(document) == [
            "state_directory",
            "running",
            "sinks",
            "sources",
            "held",
            "notices",
            "ready",
            "why_not",
            "rejected_reload",
            "figures_from",
            "left_out",
        ]
        assert {tuple(sink) for sink in document["sinks"]} == {tuple(SINK_KEYS)}
        assert {tuple(source) for source in document["sources"]} == {tuple(SOURCE_KEYS)}


@pytest.mark.long
def test_the_socket_is_the_users_own_and_goes_with_the_daemon(sidecar: Sidecar) -> None:
    with_backlog(sidecar)
    mode = (sidecar.state / "status.sock").stat().st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    sidecar.stop()
    sidecar.stop()
    assert not (sidecar.state / "status.sock").exists()


def test_a_daemon_that_hangs_is_not_waited_for(sidecar: Sidecar) -> None:
    with_backlog(sidecar)
    sidecar.pause()
    try:
        done = sidecar.call("status", "--json")
    finally:
        sidecar.resume()
    assert done.returncode == 0
    assert done.stderr == (
        b"tracesidecar status: the daemon did not answer within 5 s; "
        b"these figures are from the journal\n"
    )
    document = json.loads(done.stdout)
    assert (document["running"], document["figures_from"]) == (True, "journal")


@pytest.mark.parametrize(
    "words", [("ship", "--once"), ("exec", "--", "sleep", "60")], ids=lambda words: words[0]
)
def test_every_way_to_run_answers(sidecar: Sidecar, words: tuple[str, ...]) -> None:
    sidecar.configure(DEAD)
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start(*words)
    wait_until(lambda: (sidecar.state / "status.sock").exists() or sidecar.has_ended())
    assert status(sidecar)["running"] is True


def test_a_state_directory_with_a_long_path_has_a_socket_too(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    state = tmp_path / ("deep" * 20) / ("er" * 40)
    warm(state)
    sidecar.config.write_text(sidecar.config.read_text().replace(str(sidecar.state), str(state)))
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    assert status(sidecar)["running"] is True
    assert sidecar.stop() == 0
    assert not (state / "status.sock").exists()


@pytest.mark.parametrize(
    "broken",
    ["nonsense = 1\n{good}", "{good}[[[\n", "{good}[daemon]\n", "{good}\udcff", ""],
    ids=["unknown key", "no TOML", "table twice", "not UTF-8", "absent"],
)
def test_the_daemon_is_asked_where_the_configuration_cannot_be_loaded(
    broken: str, sidecar: Sidecar
) -> None:
    """It has one; its state directory is what can be read of the file, or what `--state` says."""
    good = sidecar.config.read_text()
    text = broken.format(good=good).encode("utf-8", "surrogateescape")
    sidecar.config.write_bytes(text) if text else sidecar.config.unlink()
    words = () if b"[[" in text and b"\xff" not in text else ("--state", str(sidecar.state))
    nobody = sidecar.call("status", *words)
    assert (nobody.returncode, nobody.stdout) == (78, b"")
    assert f"no daemon could be asked in {sidecar.state} (--state".encode() in nobody.stderr
    sidecar.config.write_text(good)
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    sidecar.config.write_bytes(text) if text else sidecar.config.unlink()
    shown, asked = sidecar.call("status", *words), sidecar.call("status", "--json", *words)
    assert (shown.returncode, asked.returncode) == (0, 0)
    assert f"running, state in {sidecar.state}\n".encode() in shown.stdout
    assert b"; these figures are from the daemon" in shown.stdout
    assert b"; these figures are from the daemon" in asked.stderr
    document = json.loads(asked.stdout)
    assert (document["running"], document["ready"], document["left_out"]) == (True, True, None)
    assert document["sources"][0]["files"] == 1
    assert sidecar.stop() == 0


def test_a_socket_of_a_killed_daemon_is_replaced_by_the_next(sidecar: Sidecar) -> None:
    with_backlog(sidecar)
    sidecar.kill()
    sidecar.start()
    sidecar.wait_for_event("service.ready", 2)
    assert isinstance(request_status(str(sidecar.state)), StatusReport)


def test_a_socket_that_cannot_be_made_is_a_warning_and_not_the_end(sidecar: Sidecar) -> None:
    (sidecar.state / "status.sock").mkdir(parents=True)
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    assert sidecar.ship().returncode == 0
    done = sidecar.call("status", "--json")
    assert (done.returncode, json.loads(done.stdout)["running"]) == (0, False)


def test_a_file_with_the_name_of_the_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "status.sock").write_bytes(b"content")
    with pytest.raises(OSError, match="in use"):
        listen(str(tmp_path))
    assert (tmp_path / "status.sock").read_bytes() == b"content"


def test_no_socket_is_made_or_removed_through_a_link_of_another_user(tmp_path: Path) -> None:
    """Who may rename the state directory may put a link in its place, while the daemon runs."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a link of another user")
    (precious := tmp_path / "precious").mkdir()
    (precious / "status.sock").symlink_to("nowhere")
    (state := tmp_path / "state").symlink_to(precious)
    os.chown(state, 10001, 10001, follow_symlinks=False)
    with pytest.raises(OSError, match="link"):
        listen(str(state))
    assert (precious / "status.sock").is_symlink()


def test_another_program_at_the_socket_is_not_believed(tmp_path: Path) -> None:
    def answer(server: socket.socket, *answers: bytes) -> None:
        for each in answers:
            client, _ = server.accept()
            with client:
                client.sendall(each)

    with listen(str(tmp_path)) as server:
        server.settimeout(30)
        stranger = threading.Thread(target=answer, args=(server, b'{"sinks": 3}', b""))
        stranger.start()
        answers = [request_status(str(tmp_path)) for _ in range(2)]
        stranger.join()
    assert answers == [
        NoAnswer("the daemon is of another version and its answer is not understood: restart it"),
        NoAnswer("the daemon ended the connection: it is stopping, or reloading"),
    ]


def test_another_user_may_neither_ask_the_daemon_nor_read_the_journal() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user for a while")
    # not in tmp_path: another pytest that starts closes what is above it to other users
    with TemporaryDirectory() as folder, listen(folder):
        os.chmod(folder, 0o755)
        (Path(folder) / "journal.sqlite").touch(0o600)
        os.seteuid(65534)
        try:
            answer = request_status(folder)
            with pytest.raises(StateError, match="run this as the user of the daemon, or as root"):
                Journal.open_to_read(folder)
        finally:
            os.seteuid(0)
    assert answer == NoAnswer("only the user of the daemon, and root, may ask it")


def test_protection_is_what_the_daemon_did_and_unknown_before(sidecar: Sidecar) -> None:
    def read_protection() -> object:
        done = sidecar.call("check-config", "--json")
        return json.loads(done.stdout)["sources"][0]["protection"]

    sidecar.configure(DEAD)
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    (sidecar.state / "journal.sqlite").unlink()
    assert read_protection() == "unknown"
    assert "not known before the first run" in sidecar.call("check-config").stdout.decode()
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    assert list((sidecar.state / "held").iterdir())
    assert status(sidecar)["sources"][0]["protection"] == read_protection() == "link"
    sidecar.kill()
    assert status(sidecar)["sources"][0]["protection"] == read_protection() == "link"


def test_a_protection_that_is_unknown_says_why(sidecar: Sidecar) -> None:
    def phrases() -> tuple[str, ...]:
        return tuple(
            next(
                line.partition("not known")[2]
                for line in sidecar.call(command).stdout.decode().splitlines()
                if "not known" in line
            )
            for command in ("status", "check-config")
        )

    assert sidecar.ship().returncode == 0
    assert phrases() == (": there are no files yet",) * 2
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    assert sidecar.ship().returncode == 0
    with closing(sqlite3.connect(sidecar.state / "journal.sqlite")) as journal, journal:
        journal.execute("UPDATE segment SET protection = '', can_link = NULL")  # as an upgrade does
    assert phrases() == (": no file has needed protection since this is recorded",) * 2
    with closing(sqlite3.connect(sidecar.state / "journal.sqlite")) as journal, journal:
        journal.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (b"3",))
    done = sidecar.call("check-config")
    assert done.returncode == 0
    assert "not known: the journal could not be read" in done.stdout.decode()
    assert "was written by an earlier version" in done.stderr.decode()
    assert json.loads(sidecar.call("check-config", "--json").stdout)["sources"][0][
        "protection"
    ] == ("unknown")


def test_bytes_kept_by_a_descriptor_are_at_risk_once_the_daemon_is_gone(sidecar: Sidecar) -> None:
    """A hold directory that cannot be made and no descriptor left: nothing protects the files."""
    sidecar.configure(DEAD)
    (sidecar.state / "held").write_bytes(b"")
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    wait_until(lambda: page(sidecar)["sinks"][0]["lag_bytes"] == size(sidecar))
    (source,) = status(sidecar)["sources"]
    assert source["protection"] == "descriptor"
    assert page(sidecar)["at_risk_bytes"] == source["at_risk_bytes"] == 0
    sidecar.kill()
    (source,) = status(sidecar)["sources"]
    assert (source["protection"], source["at_risk_bytes"]) == ("none", size(sidecar))
    assert "not kept" in sidecar.call("status").stdout.decode()


def test_a_state_directory_whose_name_is_not_utf8_gives_the_same_text_on_both_ways(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    state = tmp_path / os.fsdecode(b"st\xffate")
    warm(state)
    sidecar.config.write_text(
        sidecar.config.read_text().replace(f'state_directory = "{sidecar.state}"\n', "")
    )
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start(STATE_DIRECTORY=str(state))
    sidecar.arrives(10)

    def answer(*words: str) -> subprocess.CompletedProcess[bytes]:
        return sidecar.call("status", *words, STATE_DIRECTORY=str(state))

    as_json, said = answer("--json"), answer()
    assert (as_json.returncode, as_json.stderr) == (0, b"")
    assert b"running, state in " + os.fsencode(tmp_path) + b"/st\\xffate\n" in said.stdout
    assert sidecar.stop() == 0
    read = answer("--json")
    assert read.stderr == NOBODY
    live, stopped = json.loads(as_json.stdout), json.loads(read.stdout)
    assert (live["running"], stopped["running"]) == (True, False)
    assert live["state_directory"] == stopped["state_directory"] == str(state)


def test_a_daemon_that_fails_to_report_says_so(tmp_path: Path) -> None:
    """The answer differs from that of a daemon that is stopping."""
    state = str(tmp_path)

    async def fail() -> StatusReport:
        raise LookupError("what it read")

    async def stop() -> None:
        return None

    async def ask(report: Callable[[], Awaitable[StatusReport | None]]) -> StatusReport | NoAnswer:
        server = StatusServer(state, report)
        serving = asyncio.create_task(server.run())
        answer = await asyncio.to_thread(request_status, state)
        serving.cancel()
        server.close()
        return answer

    with capture_logs() as logs:
        answers = [asyncio.run(ask(fail)), asyncio.run(ask(stop))]
    assert answers == [
        NoAnswer("the daemon failed to report its status (LookupError): see its log"),
        NoAnswer("the daemon ended the connection: it is stopping, or reloading"),
    ]
    (failed,) = logs
    assert (failed["event"], failed["kind"]) == ("status.failed", "LookupError")
    assert "problem" not in failed
    assert "what it read" not in str(failed)


def test_a_daemon_whose_state_directory_was_moved_leaves_the_socket_of_the_next(
    tmp_path: Path,
) -> None:
    async def nothing() -> None:
        return None

    state, moved = tmp_path / "state", tmp_path / "moved"
    state.mkdir()
    first = StatusServer(str(state), nothing)
    state.rename(moved)
    state.mkdir()
    second = StatusServer(str(state), nothing)
    first.close()
    assert (state / "status.sock").exists()
    second.close()
    assert not (state / "status.sock").exists()


def test_a_silent_client_does_not_keep_others_waiting(
    sidecar: Sidecar,
) -> None:
    with_backlog(sidecar)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(sidecar.state / "status.sock"))
        assert status(sidecar)["running"] is True


def test_without_a_daemon_lag_counts_from_the_later_of_modification_and_last_commit() -> None:
    assert estimate_since(100.0, None) == 100.0
    assert estimate_since(100.0, 200.0) == 200.0
    assert estimate_since(300.0, 200.0) == 300.0
