"""Run commands in forks of a process that has imported the program.

Importing it is most of what a short command costs, and many tests need one only on the way: to ship
what they wrote, to see what is in quarantine. Each still runs in a process of its own, with the
environment, directory and streams of the caller. A command whose start matters, or that is itself
the subject of the test, is started as users do, by `Sidecar.call`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import pkgutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from tracesidecar.cli import commands, main

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 1 << 17
SECONDS = 600.0
AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_")
"""What begins so in the environment is read before a program's first line: a fork comes too late.
"""


class Request(msgspec.Struct):
    """A command with all that a process inherits, but for its streams."""

    words: list[str]
    environment: dict[str, str]
    folder: str
    umask: int


class PreparedProgram:
    """A process that forks one for each command, one after the other."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.daemon.prepared", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        ours.settimeout(SECONDS)
        self._socket = ours
        self._lock = threading.Lock()
        atexit.register(self.close)

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait()

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end, without anything to read."""
        umask = os.umask(0o077)
        os.umask(umask)
        request = Request(list(command), dict(environment), str(folder), umask)
        with open(os.devnull, "rb") as given, TemporaryFile() as out, TemporaryFile() as err:
            streams = [given.fileno(), out.fileno(), err.fileno()]
            with self._lock:
                socket.send_fds(self._socket, [msgspec.msgpack.encode(request)], streams)
                code = int(self._socket.recv(100))
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, code, out.read(), err.read())


@cache
def start_programs() -> cycle[PreparedProgram]:
    """Start two, to take turns: what follows each other differs in the seed of its hashes."""
    return cycle([PreparedProgram(), PreparedProgram()])


def run_prepared(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[bytes]:
    """Run one command to its end, in a fork if that makes no difference to it."""
    early = [
        {name: value for name, value in each.items() if name.startswith(AT_START)}
        for each in (environment, os.environ)
    ]
    if early[0] == early[1] and os.geteuid() == os.getuid():
        return next(start_programs()).run(command, environment, folder)
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        cwd=folder,
        timeout=SECONDS,
        check=False,
    )


def serve(requests: socket.socket) -> int:
    """Fork for each request; in the fork, return the exit code of the command."""
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"{commands.__name__}.{module.name}")
    assert threading.active_count() == 1, "a fork has no thread but its first"
    gc.freeze()
    while True:
        content, streams, _, _ = socket.recv_fds(requests, MOST_BYTES, 3)
        if not content:
            return 0
        child = os.fork()
        if child == 0:
            requests.close()
            return execute(msgspec.msgpack.decode(content, type=Request), streams)
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        requests.send(str(os.waitstatus_to_exitcode(status)).encode())


def execute(request: Request, streams: Sequence[int]) -> int:
    """Become the process of a command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(request.umask)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    sys.argv = request.words
    return main()


if __name__ == "__main__":
    sys.path.remove(str(ROOT))
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1]))))
