"""The daemon in a process that kills itself when it comes to a named point for the N-th time.

usage: driver.py POINT N CONFIGURATION [DESCRIPTOR]    (each commit writes a byte to DESCRIPTOR)
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

from tracesidecar import daemon
from tracesidecar.config.load import load


def killing_at(point: str, times: int, commits: int | None) -> Callable[[str], None]:
    """Make an observer that lets the process pass the point `times - 1` times; the points are
    called from more than one thread.

    `commits` is the descriptor to which commits are reported, None to nobody.
    """
    left = times
    lock = threading.Lock()

    def at(reached: str) -> None:
        nonlocal left
        if reached == point:
            with lock:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        if reached == "committing" and commits is not None:
            os.write(commits, b".")

    return at


if __name__ == "__main__":
    point, times, configuration, *descriptor = sys.argv[1:]
    commits = int(descriptor[0]) if descriptor else None
    sys.exit(daemon.run(load(configuration, os.environ), at=killing_at(point, int(times), commits)))
