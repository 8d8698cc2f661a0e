"""`exec`: start an agent, pass signals on to it, and remember how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

from tracesidecar.isolation import Caller, find_program

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

    It has the environment and the umask that this process was started with, not those that it has
    now. Its program is never found by the current directory, unless the command is a path.

    `exit_code` is 128 + SIGTERM until the child has ended, because that is how `exec` must end if
    it is stopped before it could start the child. It is `NOT_FOUND` or `NOT_EXECUTABLE` if the
    child could not be started (the shells' convention).
    """

    NOT_EXECUTABLE = 126
    NOT_FOUND = 127

    def __init__(self, command: Sequence[str], caller: Caller) -> None:
        self._command = command
        self._caller = caller
        self.exit_code = 128 + signal.SIGTERM

    async def run(self) -> None:
        """Start the child and wait for its end; signals that arrive meanwhile go to the child."""
        loop = asyncio.get_running_loop()
        environment = self._caller.environment
        program = find_program(self._command[0], environment.get("PATH", os.defpath))
        if program is None:
            self.exit_code = self.NOT_FOUND
            return
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                executable=program,
                env=environment,
                umask=self._caller.umask,
            )
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
