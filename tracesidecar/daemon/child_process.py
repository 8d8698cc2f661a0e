"""`exec`: start an agent, pass signals on, say how it ended."""

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


class Agent:
    """A child process that writes traces."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self.exit_code = (
            128 + signal.SIGTERM
        )  # as it stays when we are told to stop before it could start

    async def run(self) -> None:
        """Start it and wait for its end; signals that come meanwhile are its own.

        127 where it cannot be found, 126 where it cannot be run.
        """
        loop = asyncio.get_running_loop()
        try:
            process = await asyncio.create_subprocess_exec(*self._command)
        except FileNotFoundError:
            self.exit_code = 127
            return
        except OSError:
            self.exit_code = 126
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
