"""`exec`: start an agent, pass signals on to it, and remember how it ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)


class ChildProcess:
    """An agent that writes traces, run as a child of the daemon.

    `exit_code` is 128 + SIGTERM until the child has ended, because that is how `exec` must end if
    it is stopped before it could start the child. It is `NOT_FOUND` or `NOT_EXECUTABLE` if the
    child could not be started (the shells' convention).
    """

    NOT_EXECUTABLE = 126
    NOT_FOUND = 127

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self.exit_code = 128 + signal.SIGTERM

    async def run(self) -> None:
        """Start the child and wait for its end; signals that arrive meanwhile go to the child."""
        loop = asyncio.get_running_loop()
        try:
            process = await asyncio.create_subprocess_exec(*self._command)
        except FileNotFoundError:
            self.exit_code = self.NOT_FOUND
            return
        except OSError:
            self.exit_code = self.NOT_EXECUTABLE
            return
        for number in PASSED_ON:
            loop.add_signal_handler(number, _pass_on, process, number)
        try:
            code = await process.wait()
        finally:
            for number in PASSED_ON:
                loop.remove_signal_handler(number)
        self.exit_code = 128 - code if code < 0 else code


def _pass_on(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
