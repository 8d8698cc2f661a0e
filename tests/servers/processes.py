"""Start a real server as a local process, wait until it listens, and stop exactly that process."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.servers.provision import SERVERS, is_ci

START_SECONDS = 180.0
"""Long enough for a JVM on a busy machine: a time-out of a test only ends a hang."""


def require(server: str) -> Path:
    """Return the server's binary; if it is missing, skip the test, or fail in CI."""
    binary = SERVERS[server].binary
    if binary.exists():
        return binary
    reason = f"the server {server} is not there: run `make servers` (needs {SERVERS[server].needs})"
    if is_ci():
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Wait until the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {condition}")
        time.sleep(0.01)


class Server:
    """A process that listens on `port`. Its output goes to `log`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        port: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._command = [str(word) for word in command]
        self._log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Return whether it was started and has not been stopped."""
        return self._process is not None

    def start(self) -> None:
        """Start it and return when it accepts connections."""
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if self._environment is None else dict(self._environment),
            )

        def is_up() -> bool:
            if process.poll() is not None:
                pytest.fail(
                    f"{self._command[0]} ended with {process.returncode}: "
                    f"{self._log.read_text(errors='replace')[-2000:]}"
                )
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(is_up)

    @property
    def is_idle(self) -> bool:
        """Return whether all its threads sleep (Linux): none runs or waits for a CPU."""
        if self._process is None:
            return True
        try:
            threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
            return all(
                thread.read_text().rpartition(")")[2].split()[0] in "SI" for thread in threads
            )
        except FileNotFoundError:
            return False  # a thread has just ended

    def stop(self) -> None:
        """Stop it; it may be started again on the same port."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
