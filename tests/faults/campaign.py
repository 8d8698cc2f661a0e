"""Writers that go on writing while the daemon between them and its destinations is killed again and
again.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults import writer
from tests.servers.processes import wait_until
from tests.warm import warm

PROJECT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("driver.py")
PROGRAM = Path(sys.executable).with_name("tracesidecar")
WRITERS = 4
FILES = 40
POINTS = ("read", "planned", "sending", "sent", "committing", "rotating")
DEADLINE_SECONDS = 300
A_FEW_LINES = 8
SHARE_OF_STARTS = 0.2
"""How many of the random kills hit a daemon that has just been started."""
CONNECTED = b'"event": "sink.connected"'
_CONFIGURATION = """
state_directory = "{folder}/state"

[daemon]
listen = ""
poll_interval = "200ms"
drain_deadline = "{deadline}s"

[[source]]
name = "agent"
include = ["{folder}/traces/*.jsonl", "{folder}/traces/*.jsonl.*"]
max_line = "256KiB"
"""


class Campaign:
    """One folder of traces, four writer processes, one configuration, at most one daemon."""

    def __init__(self, folder: Path, lines: list[bytes], sinks: str, seed: int) -> None:
        self._rng = random.Random(seed)
        self._environment = {**os.environ, "LOG_FORMAT": "json", "HOME": str(folder)}
        self._log = folder / "daemon.log"
        self._configuration = folder / "tracesidecar.toml"
        self._configuration.write_text(
            _CONFIGURATION.format(folder=folder, deadline=DEADLINE_SECONDS) + sinks
        )
        self._sinks = sinks.count("[[sink]]")
        self._daemon: subprocess.Popen[bytes] | None = None
        (folder / "traces").mkdir()
        warm(folder / "state")
        self._writers = [
            self._start_writer(folder, number, lines[number::WRITERS]) for number in range(WRITERS)
        ]

    def _start_writer(
        self, folder: Path, number: int, lines: list[bytes]
    ) -> subprocess.Popen[bytes]:
        source = folder / f"lines-{number}"
        source.write_bytes(b"".join(line + b"\n" for line in lines))
        names = [f"agent-{number}-{name}" for name in range(FILES // WRITERS)]
        paths = [writer.__file__, str(source), str(folder / "traces")]
        command = [sys.executable, *paths, str(number), *names]
        return subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in [*self._writers, *([self._daemon] if self._daemon else [])]:
            process.kill()
            process.wait()

    def release(self, lines: int) -> None:
        """Let the writers write so many more lines, and at least one each, without waiting for
        them.
        """
        for process in self._writers:
            assert process.stdin is not None
            process.stdin.write(b"%d\n" % (lines // WRITERS + 1))

    def finish_writing(self) -> None:
        """Let the writers write what they have left, and wait for their end."""
        self.release(1_000_000)
        for process in self._writers:
            process.communicate(timeout=DEADLINE_SECONDS)
            assert process.returncode == 0

    def _start(self, *command: str | Path, shared: int | None = None) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=PROJECT,
                pass_fds=() if shared is None else (shared,),
            )
        return self._daemon

    def _start_and_connect(self) -> subprocess.Popen[bytes]:
        """Start the daemon; return once all its sinks are connected, or it has ended."""
        before = self._log.stat().st_size if self._log.exists() else 0
        daemon = self._start(PROGRAM, "run", "--config", self._configuration)

        def are_connected() -> bool:
            with self._log.open("rb") as log:
                log.seek(before)
                return log.read().count(CONNECTED) >= self._sinks

        wait_until(lambda: are_connected() or daemon.poll() is not None)
        return daemon

    def kill_at_random(self) -> None:
        """Kill the daemon at a random moment: while it starts, or once its sinks are connected.

        While it starts, the writers go on, whatever they were released to write.
        """
        if self._rng.random() < SHARE_OF_STARTS:
            daemon = self._start(PROGRAM, "run", "--config", self._configuration)
        else:
            daemon = self._start_and_connect()
        try:
            daemon.wait(self._rng.uniform(0.0, 2.0))
        except subprocess.TimeoutExpired:
            daemon.kill()
        assert daemon.wait() == -signal.SIGKILL, self.end_of_log()

    def kill_at(self, point: str) -> None:
        """Let the writers go on until the daemon kills itself at one of the first times it comes to
        the named point.

        However long that takes, few lines are needed: more are released when all sinks together
        have committed as often as there are sinks.
        """
        self.release(A_FEW_LINES)
        reading, writing = os.pipe()
        daemon = self._start(
            *(sys.executable, DRIVER, point, str(self._rng.randint(1, 3))),
            *(self._configuration, str(writing)),
            shared=writing,
        )
        os.close(writing)
        commits, deadline = 0, time.monotonic() + DEADLINE_SECONDS
        poller = select.poll()
        poller.register(reading, select.POLLIN)
        while poller.poll(max(deadline - time.monotonic(), 0) * 1000):
            reported = os.read(reading, self._sinks)
            if not reported:
                break  # the daemon is dead
            commits += len(reported)
            if commits >= self._sinks:
                commits = 0
                self.release(A_FEW_LINES)
        os.close(reading)
        daemon.kill()
        assert daemon.wait() == -signal.SIGKILL, self.end_of_log()
        assert time.monotonic() < deadline, (
            f"the daemon never came to the point {point}: {self.end_of_log()}"
        )

    def drain(self) -> None:
        """Run the daemon, and stop it once all its sinks are connected; it must leave with
        everything delivered.
        """
        daemon = self._start_and_connect()
        daemon.terminate()
        assert daemon.wait(DEADLINE_SECONDS) == 0, self.end_of_log()

    def ship_once(self) -> None:
        """Ship what a finished writer left."""
        assert (
            self._start(PROGRAM, "ship", "--once", "--config", self._configuration).wait(
                DEADLINE_SECONDS
            )
            == 0
        ), self.end_of_log()

    def count_quarantined(self) -> Counter[int]:
        """Count the lengths of the lines in quarantine, as `quarantine list` prints them."""
        command = [str(PROGRAM), "--config", str(self._configuration)]
        command += ["quarantine", "list", "--json"]
        answer = subprocess.run(
            command, capture_output=True, check=False, env=self._environment, cwd=PROJECT
        )
        assert answer.returncode == 0, answer.stderr.decode()
        listed = json.loads(answer.stdout)
        return Counter(line["end"] - line["start"] for line in listed["quarantine"])

    def verify(self, sink: str) -> list[str]:
        """Say what `verify` finds wrong at a store."""
        command = [str(PROGRAM), "--config", str(self._configuration), "verify", sink]
        answer = subprocess.run(
            command, capture_output=True, check=False, env=self._environment, cwd=PROJECT
        )
        if answer.returncode == 0:
            return []
        return [f"verify: {(answer.stdout + answer.stderr).decode(errors='replace')[-1000:]}"]

    def end_of_log(self) -> str:
        """What the daemon said last."""
        return self._log.read_text(errors="replace")[-3000:]
