"""Nothing is shipped with a redaction that cannot be trusted; rules that are off are logged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.poison import poison
from tests.servers.processes import wait_until
from tracesidecar.journal import Journal

POISONED = ("words", "anchors")

BLIND = """
import os, sys
from tracesidecar.cli import main
from tracesidecar.daemon import redaction_check
from tracesidecar.sanitize.sanitizer import Sanitizer

sees = Sanitizer.redact_line
Sanitizer.redact_line = lambda self, line: line if os.path.exists(sys.argv[1]) else sees(self, line)
redaction_check.SELF_TEST_SECONDS = 0.1
sys.exit(main(sys.argv[2:]))
"""
"""The program, going blind as soon as a file exists."""


def start(sidecar: Sidecar, switch: Path) -> subprocess.Popen[bytes]:
    with sidecar.log.open("ab") as log:
        command = [sys.executable, "-c", BLIND, str(switch), "--config", str(sidecar.config), "run"]
        sidecar.daemon = subprocess.Popen(
            command, stderr=log, env=sidecar.environment(), cwd=sidecar.folder
        )
    return sidecar.daemon


def test_a_redaction_that_misses_planted_secrets_does_not_start(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    assert start(sidecar, sidecar.folder).wait(600) == 78
    assert b"misses planted secrets" in sidecar.log.read_bytes()
    assert sidecar.lines() == []


def test_a_redaction_that_fails_later_stops_all_shipping_and_is_reported(sidecar: Sidecar) -> None:
    switch = sidecar.folder / "switch"
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    daemon = start(sidecar, switch)
    sidecar.arrives(3)
    wait_until(lambda: sidecar.get("/readyz")[0] == 200)
    switch.touch()
    sidecar.wait_for_event("redaction.failed")
    wait_until(lambda: sidecar.get("/readyz")[0] == 503)
    assert b"the redaction has failed its test" in sidecar.get("/readyz")[1]
    append(sidecar.traces / "a.jsonl", number_lines(3, 3))
    second = LAKE.format(lake=sidecar.folder / "second").replace('"lake"', '"second"')
    sidecar.configure(LAKE.format(lake=sidecar.lake) + second)
    daemon.send_signal(signal.SIGHUP)
    sidecar.wait_for_event("reload.done")
    assert sidecar.stop() in {75, 78}
    assert sidecar.lines() == number_lines(0, 3)
    assert not (sidecar.folder / "second").exists()


def test_each_rule_for_secrets_that_is_switched_off_is_logged_at_each_start(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(
        LAKE.format(lake=sidecar.lake),
        more='[redaction]\ndisable = ["twilio-key", "github-token", "email"]\n',
    )
    for _ in range(2):
        reported = sidecar.ship().stderr
        assert reported.count(b"redaction.rule_disabled") == 2
        assert b'"rule": "twilio-key"' in reported


PASSWORD = "kT4aB3VWojaxyR0ndcs9DIiB3kkptctl"
TRACE = f'{{"out":"export DB_PASSWORD={PASSWORD}"}}\n'.encode()


def everything_delivered(sidecar: Sidecar) -> bytes:
    return b"".join(sidecar.lines())


@pytest.mark.parametrize("name", POISONED)
def test_a_poisoned_database_is_compiled_again_and_the_password_does_not_leave(
    sidecar: Sidecar, name: str
) -> None:
    append(sidecar.traces / "a.jsonl", [TRACE])
    path = poison(sidecar.state / "cache", name)
    planted = path.read_bytes()
    assert sidecar.ship().returncode == 0
    assert PASSWORD.encode() not in everything_delivered(sidecar)
    assert len(sidecar.lines()) == 1
    assert path.read_bytes() != planted


@pytest.mark.parametrize(
    "words",
    [("ship", "--once"), ("run",), ("exec", "--", "true")],
    ids=lambda words: words[0],
)
def test_nothing_is_shipped_by_a_database_that_is_blind_although_it_is_signed(
    sidecar: Sidecar, words: tuple[str, ...]
) -> None:
    append(sidecar.traces / "a.jsonl", [TRACE])
    journal = Journal.open(str(sidecar.state))
    poison(sidecar.state / "cache", "words", journal.key)
    journal.close()
    done = sidecar.call(*words)
    assert done.returncode == 78
    assert b"misses planted secrets (assignment)" in done.stderr
    assert sidecar.lines() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")
def test_a_cache_of_another_user_is_not_used_and_the_log_says_so(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", [TRACE])
    os.chown(sidecar.state / "cache", 65533, 65533)
    done = sidecar.ship()
    assert done.returncode == 0
    [said] = [line for line in done.stderr.splitlines() if b"redaction.cache_not_used" in line]
    assert b"belongs to user 65533, and this is user 0" in said
    assert PASSWORD.encode() not in everything_delivered(sidecar)
