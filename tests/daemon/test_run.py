"""`run`: follow, drain, reload, report the state of the service."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.daemon.sidecar import LAKE, PROGRAM, Sidecar, append, number_lines
from tests.servers.processes import wait_until
from tests.servers.receiving import ReceivingServer


@pytest.mark.parametrize("notices", ["on", "off"])
def test_lines_are_followed_through_rotation_while_it_runs(sidecar: Sidecar, notices: str) -> None:
    sidecar.configure(
        LAKE.format(lake=sidecar.lake), source=f'exclude = ["{sidecar.traces}/none/**"]'
    )
    path = sidecar.traces / "a.jsonl"
    sidecar.start(TRACESIDECAR_NOTICES=notices)
    append(path, number_lines(0, 10))
    sidecar.arrives(10)
    append(path, number_lines(10, 10))
    path.rename(sidecar.traces / "a.jsonl.1")
    append(path, number_lines(20, 10))
    sidecar.arrives(30)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 30))


def test_sigterm_flushes_what_waits_for_its_batch(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake).replace("500ms", "1h").replace("100ms", "1h"))
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.wait_for_event("pipeline.first_read")
    assert sidecar.objects() == []
    assert sidecar.stop() == 0
    assert sidecar.lines() == number_lines(0, 10)


def test_a_drain_does_not_wait_for_a_dead_sink_beyond_its_deadline(sidecar: Sidecar) -> None:
    sidecar.configure(
        '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n',
        daemon='drain_deadline = "1s"',
    )
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.wait_for_event("sink.retry")
    assert sidecar.stop() == 75
    assert any(
        event["event"] == "drain.left_behind" and event["sink"] == "far"
        for event in sidecar.events()
    )


def test_a_second_sigterm_stops_at_once(sidecar: Sidecar) -> None:
    sidecar.configure(
        '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n',
        daemon='drain_deadline = "10m"',
    )
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    daemon = sidecar.start()
    sidecar.wait_for_event("sink.retry")
    daemon.terminate()
    sidecar.wait_for_event("service.draining")
    assert sidecar.stop() == 75


def test_a_sink_that_comes_back_gets_everything_without_a_restart(
    sidecar: Sidecar, receiver: ReceivingServer
) -> None:
    sidecar.configure(
        f'[[sink]]\nname = "far"\ntype = "http"\nurl = "{receiver.url}"\n'
        f'batch = {{ idle = "100ms" }}\n'
    )
    receiver.server.stop()
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.wait_for_event("sink.retry")
    receiver.server.start()
    wait_until(lambda: len([line for line in receiver.read_kept_lines() if line]) >= 10)
    assert sidecar.stop() == 0


def test_sighup_adds_a_new_sink_and_rejects_a_broken_file(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    daemon = sidecar.start()
    sidecar.arrives(10)
    sidecar.config.write_text(sidecar.config.read_text() + "\nnonsense = [")
    daemon.send_signal(signal.SIGHUP)
    sidecar.wait_for_event("reload.refused")
    second = LAKE.format(lake=sidecar.folder / "second").replace('"lake"', '"second"')
    sidecar.configure(LAKE.format(lake=sidecar.lake) + second)
    daemon.send_signal(signal.SIGHUP)
    sidecar.wait_for_event("reload.done")
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    sidecar.arrives(20)
    assert sidecar.stop() == 0
    assert sidecar.lines() == number_lines(0, 20)
    sidecar.lake = sidecar.folder / "second"
    assert sidecar.lines() == number_lines(0, 20)


def test_a_reload_that_changes_one_sink_leaves_the_other_running(sidecar: Sidecar) -> None:
    second = LAKE.format(lake=sidecar.folder / "second").replace('"lake"', '"second"')
    sidecar.configure(LAKE.format(lake=sidecar.lake) + second)
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    daemon = sidecar.start()
    sidecar.wait_for_event("sink.connected", 2)
    sidecar.configure(LAKE.format(lake=sidecar.lake) + second.replace("500ms", "700ms"))
    daemon.send_signal(signal.SIGHUP)
    sidecar.wait_for_event("reload.done")
    sidecar.wait_for_event("sink.connected", 3)
    assert Counter(
        event["sink"] for event in sidecar.events() if event["event"] == "sink.connected"
    ) == {"lake": 1, "second": 2}
    assert sidecar.stop() == 0


def test_the_health_pages_report_the_state_of_the_service(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    sidecar.wait_for_event("service.ready")
    assert sidecar.get("/livez") == (200, b"ok\n")
    assert sidecar.get("/readyz") == (200, b"ok\n")
    wait_until(
        lambda: (
            b'tracesidecar_delivered_lines_total{sink="lake"} 10.0' in sidecar.get("/metrics")[1]
        )
    )
    status = json.loads(sidecar.get("/status")[1])
    assert [(sink["name"], sink["state"], sink["lag_bytes"]) for sink in status["sinks"]] == [
        ("lake", "running", 0)
    ]
    assert sidecar.get("/else")[0] == 404


def test_the_health_pages_answer_on_a_unix_socket(sidecar: Sidecar) -> None:
    path = sidecar.folder / "health.sock"
    sidecar.config.write_text(
        sidecar.config.read_text().replace(f"127.0.0.1:{sidecar.port}", f"unix:{path}")
    )
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"ok\n")


def test_a_taken_port_is_a_warning_and_not_the_end(sidecar: Sidecar) -> None:
    with socket.create_server(("127.0.0.1", sidecar.port)):
        append(sidecar.traces / "a.jsonl", number_lines(0, 10))
        sidecar.start()
        sidecar.arrives(10)
        assert sidecar.stop() == 0
    assert any(event["event"] == "health.address_taken" for event in sidecar.events())


def test_systemd_is_notified_of_ready_status_watchdog_and_stopping(sidecar: Sidecar) -> None:
    address = sidecar.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(120)
        sidecar.start(NOTIFY_SOCKET=str(address), WATCHDOG_USEC="300000")
        reported: set[str] = set()
        while not {"READY=1", "WATCHDOG=1"} <= reported or not any(
            word.startswith("STATUS=") for word in reported
        ):
            reported |= set(manager.recv(4096).decode().split("\n"))
        assert sidecar.stop() == 0
        while "STOPPING=1" not in reported:
            reported |= set(manager.recv(4096).decode().split("\n"))


def test_systemd_is_notified_also_without_a_free_descriptor(sidecar: Sidecar) -> None:
    """The process ended, and systemd's watchdog would have ended it if it had gone on."""
    address = sidecar.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(120)
        process = sidecar.start(NOTIFY_SOCKET=str(address), WATCHDOG_USEC="300000")
        while "READY=1" not in manager.recv(4096).decode():
            pass
        limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        received = ""
        while "WATCHDOG=1" not in received or "STATUS=" not in received:
            received += manager.recv(4096).decode()
        while manager.recv(4096).decode() != "WATCHDOG=1":
            pass
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    sidecar.arrives(3)
    assert sidecar.stop() == 0


def test_the_last_line_of_a_deleted_file_is_delivered_if_it_is_whole_else_quarantined(
    sidecar: Sidecar,
) -> None:
    whole, torn = sidecar.traces / "whole.jsonl", sidecar.traces / "torn.jsonl"
    whole.write_bytes(b'{"n": 1}\n{"n": 2}')
    torn.write_bytes(b'{"n": 3}\n{"n": ')
    sidecar.start()
    sidecar.arrives(2)
    whole.unlink()
    torn.unlink()
    sidecar.arrives(3)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter([b'{"n": 1}', b'{"n": 2}', b'{"n": 3}'])
    assert [line["reason"] for line in sidecar.list_quarantined()] == ["truncated"]


def test_status_and_explain_read_beside_the_running_daemon(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    wait_until(
        lambda: (
            json.loads(sidecar.ask("status", "--json").stdout)["sinks"][0]["delivered_lines"] == 10
        )
    )
    explained = json.loads(sidecar.ask("explain", str(sidecar.traces / "a.jsonl"), "--json").stdout)
    assert "delivered" in json.dumps(explained)
    assert sidecar.stop() == 0


def test_exec_keeps_the_agents_exit_code_and_ships_its_last_line(sidecar: Sidecar) -> None:
    script = f'printf \'{{"n": 1}}\\n{{"n": 2}}\' > {sidecar.traces}/a.jsonl; exit 7'
    sidecar.configure(LAKE.format(lake=sidecar.lake), daemon="")
    ended = sidecar.call("exec", "--", "sh", "-c", script)
    assert ended.returncode == 7, ended.stderr
    assert sidecar.lines() == [b'{"n": 1}', b'{"n": 2}']


def test_exec_passes_signals_on_and_drains_after_the_agent(sidecar: Sidecar) -> None:
    script = (
        f'trap \'echo "{{\\"n\\": 2}}" >> {sidecar.traces}/a.jsonl; exit 0\' TERM; echo \'{{"n": '
        f"1}}' > {sidecar.traces}/a.jsonl; while :; do sleep 0.05; done"
    )
    sidecar.start("exec", "--", "sh", "-c", script)
    sidecar.arrives(1)
    assert sidecar.stop() == 0
    assert sidecar.lines() == [b'{"n": 1}', b'{"n": 2}']


def test_exec_of_a_missing_command_exits_127(sidecar: Sidecar) -> None:
    assert sidecar.call("exec", "--", "no-such-command-here").returncode == 127


def test_exec_that_is_stopped_before_its_agent_began_exits_as_by_the_signal(
    sidecar: Sidecar,
) -> None:
    sidecar.start("exec", "--", "sleep", "60")
    sidecar.wait_for_event("service.started")
    assert sidecar.stop() == 128 + signal.SIGTERM


def test_the_embedded_default_finds_traces_here_and_reports_where_the_result_is(
    sidecar: Sidecar,
) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.config.unlink()
    sidecar.lake = sidecar.folder / ".local/share/tracesidecar/lake"
    with sidecar.log.open("ab") as log:
        sidecar.daemon = subprocess.Popen(
            [PROGRAM, "run"], stderr=log, env=sidecar.environment(), cwd=sidecar.folder
        )
    sidecar.arrives(10)
    sidecar.wait_for_event("service.ready")
    assert sidecar.stop() == 0
    [ready] = [event for event in sidecar.events() if event["event"] == "service.ready"]
    destinations = msgspec.convert(ready["destinations"], dict[str, str])
    assert str(sidecar.lake) in destinations["lake"]
    assert msgspec.convert(ready["files"], dict[str, int])["traces"] == 1


def test_sources_of_one_sink_do_not_reach_another(sidecar: Sidecar) -> None:
    other = sidecar.folder / "other"
    other.mkdir()
    sinks = (
        LAKE.format(lake=sidecar.lake)
        + 'sources = ["agent"]\n'
        + LAKE.format(lake=sidecar.folder / "second").replace('"lake"', '"second"')
    )
    sidecar.configure(sinks, more=f'[[source]]\nname = "other"\ninclude = ["{other}/*.jsonl"]\n')
    append(sidecar.traces / "a.jsonl", number_lines(0, 5))
    append(other / "b.jsonl", number_lines(100, 5))
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 5)
    sidecar.lake = sidecar.folder / "second"
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 5) + number_lines(100, 5))


def test_a_full_disk_under_the_lake_is_waited_for(sidecar: Sidecar) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    sidecar.lake.mkdir()
    if (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(sidecar.lake)], check=False
        ).returncode
        != 0
    ):
        pytest.skip("this kernel lets nobody mount a tmpfs here")
    try:
        filler = sidecar.lake / "filler"
        filler.write_bytes(b"x" * 61_000)
        append(sidecar.traces / "a.jsonl", number_lines(0, 3000))
        sidecar.start()
        sidecar.wait_for_event("sink.retry")
        filler.unlink()
        sidecar.arrives(3000)
        assert sidecar.stop() == 0
        assert sidecar.lines() == number_lines(0, 3000)
    finally:
        sidecar.kill()
        subprocess.run(["umount", str(sidecar.lake)], check=True)


def test_requests_to_the_health_pages_do_not_fill_the_log(sidecar: Sidecar) -> None:
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    sidecar.wait_for_event("sink.connected")
    before = len(sidecar.log.read_bytes())
    for _ in range(20):
        urllib.request.urlopen(f"http://127.0.0.1:{sidecar.port}/livez", timeout=600).close()
    assert len(sidecar.log.read_bytes()) == before


def test_signals_that_come_before_the_service_is_there_are_handled_then(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """Seen: exit by SIGTERM, and by SIGHUP, after which systemd starts no service again."""
    script = tmp_path / "early.py"
    script.write_text(
        "import os, signal, sys\n"
        "class Early:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'tracesidecar.cli.commands.run':\n"
        "            os.kill(os.getpid(), signal.SIGHUP)\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Early)\n"
        "from tracesidecar.cli import main\n"
        "sys.exit(main(['--config', sys.argv[1], 'run']))\n"
    )
    append(sidecar.traces / "a.jsonl", lines := number_lines(0, 5))
    assert sidecar.start_script(script).wait(120) == 0
    assert "drain.complete" in {str(each["event"]) for each in sidecar.events()}
    assert sidecar.lines() == lines


def test_explain_finds_a_file_by_the_name_that_it_had_first(sidecar: Sidecar) -> None:
    """Seen: "never seen, or deleted", of a file that had arrived and was moved then."""
    first, kept = sidecar.traces / "a.jsonl", sidecar.traces / "kept"
    away = sidecar.traces / "b.jsonl"
    kept.mkdir()
    append(first, number_lines(0, 5))
    append(away, number_lines(10, 5))
    assert sidecar.ship().returncode == 0
    first.rename(kept / "renamed.jsonl")
    away.rename(sidecar.folder / "b.out")
    assert sidecar.ship().returncode == 0
    [part] = json.loads(sidecar.ask("explain", str(first), "--json").stdout)["ranges"]
    assert part["path"] == str(kept / "renamed.jsonl")
    unknown = sidecar.ask("explain", str(away))
    shown = (unknown.stdout + unknown.stderr).decode()
    assert "never seen" not in shown
    assert "delivered" in shown
