"""Another process of the same user, such as the agent, cannot read the daemon's memory."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon.sidecar import PROGRAM, Sidecar
from tests.servers.processes import wait_until

SECRET = "invented-credential-7f3a"
READ = """
import os, sys
where = f"/proc/{sys.argv[1]}/"
for name in ("environ", "mem", "maps"):
    try:
        open(where + name, "rb").close()
        print(name)
    except PermissionError:
        pass
try:
    os.readlink(where + "fd/0")
    print("fd")
except PermissionError:
    pass
"""
EVERYTHING = ["environ", "mem", "maps", "fd"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl is a call of Linux")


def as_user() -> list[str]:
    """What runs a command as a user who is not root.

    The one right that it keeps lets it reach an interpreter in root's home; it lets nobody read
    another process.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    rights = "-all,+dac_read_search"
    return [
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
        *(f"--inh-caps={rights}", f"--ambient-caps={rights}", f"--bounding-set={rights}"),
    ]


@contextmanager
def running(*command: str) -> Iterator[int]:
    """A process of that user, with a credential in its environment, that waits for its input."""
    process = subprocess.Popen(
        [*as_user(), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TOKEN": SECRET, "XDG_CACHE_HOME": "/nowhere"},
        cwd="/",
    )
    try:
        yield process.pid
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def readable(pid: int) -> list[str]:
    """What another process of the same user can read of this one."""
    answer = subprocess.run(
        [*as_user(), sys.executable, "-c", READ, str(pid)],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return answer.stdout.split()


def test_another_process_of_the_same_user_can_read_neither_memory_nor_environment() -> None:
    with running(sys.executable, "-c", "input()") as pid:
        wait_until(lambda: readable(pid) == EVERYTHING)
    with running(str(PROGRAM), "redact") as pid:
        wait_until(lambda: readable(pid) == [])


def test_what_exec_starts_is_not_affected(sidecar: Sidecar) -> None:
    """Its debuggers and crash reporters work as without us."""
    script = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    done = subprocess.run(
        [PROGRAM, "--config", sidecar.config, "exec", "--", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | sidecar.environment(),
    )
    assert done.stdout.split() == ["1"], done.stderr


def abort(program: str, folder: Path) -> bool:
    """Whether a process that aborts leaves a dump of its memory."""
    _, limit = resource.getrlimit(resource.RLIMIT_CORE)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.DEVNULL,
        cwd=folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (limit, limit)),
    )
    _, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == -signal.SIGABRT
    return os.WCOREDUMP(status)


def test_a_crash_leaves_no_dump_of_the_memory(tmp_path: Path) -> None:
    crash = "os.abort()"
    if not abort(f"import os; {crash}", tmp_path):
        pytest.skip("this machine dumps no core of any process")
    command = "from tracesidecar.cli import main; main(['version'])"
    assert not abort(f"import os; {command}; {crash}", tmp_path)
