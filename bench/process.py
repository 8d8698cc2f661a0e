"""One whole tracesidecar process, started and measured from outside.

CPU and memory are what the kernel accounts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

DEADLINE_SECONDS = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")
_MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
"""A small parent process: the peak memory of a child begins with what its parent had."""
_CONFIGURATION = """
state_directory = "{home}/state"
[daemon]
listen = "{listen}"
[[source]]
name = "bench"
include = ["{traces}/**/*.jsonl"]
"""
_LAKE = """
[[sink]]
name = "lake-{number}"
type = "directory"
path = "{home}/lake-{number}"
format = "{form}"
compression = "gzip"
"""
_NOWHERE = """
[[sink]]
name = "warm"
type = "stdout"
"""


class Failed(Exception):
    """The program did not do what should be measured."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one finished process used."""

    cpu_seconds: float
    peak_bytes: int


def configuration(
    home: str, traces: str, *, listen: str = "", forms: tuple[str, ...] = ("raw",), sinks: str = ""
) -> str:
    """Write a configuration below `home` and return its path.

    It has the `[[sink]]` blocks of `sinks`, or without these a directory sink for each of `forms`.
    """
    os.makedirs(home, exist_ok=True)
    path = os.path.join(home, "bench.toml")
    blocks = sinks or "".join(
        _LAKE.format(number=number, home=home, form=form) for number, form in enumerate(forms)
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(_CONFIGURATION.format(home=home, traces=traces, listen=listen) + blocks)
    return path


def _command(*arguments: str) -> list[str]:
    return [os.path.join(os.path.dirname(sys.executable), "tracesidecar"), *arguments]


def ship_once(path: str) -> Cost:
    """Run `ship --once` to its end; raise Failed if it does not exit with 0."""
    command = [sys.executable, "-c", _MEASURE, *_command("ship", "--once", "--config", path)]
    code, seconds, kibibytes = subprocess.run(
        command, stdout=subprocess.PIPE, check=True
    ).stdout.split()
    if int(code) != 0:
        raise Failed(f"ship --once ended with {int(code)}")
    return Cost(float(seconds), int(kibibytes) << 10)


@contextlib.contextmanager
def new_home(folder: str) -> Iterator[str]:
    """Make a directory for one run, below `folder`, and remove it at the end of the block.

    The state directory in it has an installation key and the rules that were compiled under it, as
    on any day but a machine's first one: they are made once for `folder`.
    """
    warm = os.path.join(folder, "warm")
    if not os.path.exists(warm):
        empty = os.path.join(folder, "empty")
        os.makedirs(empty)
        ship_once(configuration(warm, empty, sinks=_NOWHERE))
    with tempfile.TemporaryDirectory(dir=folder) as home:
        shutil.copytree(os.path.join(warm, "state"), os.path.join(home, "state"))
        yield home


def cpu_of_servers(other: int | None) -> float:
    """Return the CPU seconds that the running servers have used so far.

    These are all processes that this one has started, and the process `other` with its children.
    """
    parents, seconds = {}, {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(name)], seconds[int(name)] = (
            int(fields[1]),
            sum(map(int, fields[11:15])) / _TICKS,
        )
    family = {other} if other is not None else set()
    roots = {os.getpid(), *family}
    while more := {child for child, parent in parents.items() if parent in family | roots} - family:
        family |= more
    return sum(seconds.get(member, 0.0) for member in family)


class Daemon:
    """A running `tracesidecar run`, and when it logged which event first."""

    def __init__(self, path: str, *, notices: bool = True) -> None:
        environment = {**os.environ, "LOG_FORMAT": "json", "LOG_LEVEL": "info"} | (
            {} if notices else {"TRACESIDECAR_NOTICES": "off"}
        )
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            _command("run", "--config", path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._seen: dict[str, float] = {}
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if not line.startswith("{"):
                continue
            with self._news:
                self._seen.setdefault(json.loads(line)["event"], time.monotonic() - self._started)
                self._news.notify_all()

    def seconds_until(self, event: str) -> float:
        """Return how long after its start the process logged `event`; raise Failed if never."""
        with self._news:
            if not self._news.wait_for(lambda: event in self._seen, DEADLINE_SECONDS):
                raise Failed(f"no event {event}; seen: {', '.join(self._seen) or 'nothing'}")
            return self._seen[event]

    def resident_bytes(self) -> int:
        """Return the resident set now."""
        with open(f"/proc/{self._process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Return the user and system time used so far."""
        with open(f"/proc/{self._process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def stop(self) -> None:
        """Stop with a drain; kill the process if that takes too long."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(DEADLINE_SECONDS)


@contextlib.contextmanager
def running(path: str, *, notices: bool = True) -> Iterator[Daemon]:
    """Run the daemon for the length of the block."""
    daemon = Daemon(path, notices=notices)
    try:
        yield daemon
    finally:
        daemon.stop()


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.partition("{")[0].partition(" ")[0] == name
    )


def _has_delivered(port: int, lines: int) -> bool:
    try:
        return _metric(port, "tracesidecar_delivered_lines_total") >= lines
    except OSError:  # a daemon that is not up yet, or too busy to answer
        return False


def wait_until_quiet(daemon: Daemon, port: int, lines: int = 1) -> None:
    """Wait until `lines` are delivered and one more second costs next to no CPU."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        before = daemon.cpu_seconds()
        time.sleep(1.0)
        if daemon.cpu_seconds() - before < 0.1 and _has_delivered(port, lines):
            return
    raise Failed("the daemon did not come to rest")
