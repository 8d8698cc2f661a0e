"""`make race`: swap files, links, FIFOs and directories in a watched tree while a daemon reads it.

usage: python -m tests.faults.race [--seconds N] [--seed N] [--symlinks never|same_owner]

The daemon is root, the agent another user, who replaces names faster than anybody can look. Beside
the tree are files, directories and a FIFO of root: the kernel's events (inotify) tell of each one
that is opened. Exits with 1 if one is, or if something is shipped that is not the
tree's own.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import itertools
import json
import multiprocessing
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.daemon.sidecar import LAKE, Sidecar
from tests.servers.processes import wait_until

AGENT = 12345
SECRET = b"must never leave"
_OPENED = 0x20 | 0x1  # IN_OPEN, IN_ACCESS
_EVENT = struct.Struct("iIII")


class KernelEvents:
    """Which of some files and directories were opened, by anybody: O_PATH opens nothing."""

    def __init__(self, paths: Sequence[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._paths = {
            libc.inotify_add_watch(self._descriptor, os.fsencode(path), _OPENED): path
            for path in paths
        }
        assert len(self._paths) == len(paths)
        assert min(self._paths) > 0

    def take(self) -> list[str]:
        """Return what was opened since the last call, and what of it."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._descriptor, 1 << 16):
                at = 0
                while at < len(data):
                    watch, _, _, length = _EVENT.unpack_from(data, at)
                    name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
                    found.append(os.path.join(self._paths[watch], os.fsdecode(name)))
                    at += _EVENT.size + length
        return found


def swap(traces: Path, targets: list[Path], until: float, seed: int) -> None:
    """Be the agent: give the same few names to one thing after the other."""
    os.setgroups([])
    os.setgid(AGENT)
    os.setuid(AGENT)
    chance, numbers = random.Random(seed), itertools.count()
    names = [
        traces / folder / name for folder in ("", "x", "x/y") for name in ("a.jsonl", "b.jsonl")
    ] + [traces / "x", traces / "x" / "y"]
    while time.time() < until:
        fresh = traces / f".{seed}-{next(numbers)}"
        place = chance.choice(names)
        kind = chance.choice(("file", "file", "link", "link", "fifo", "folder"))
        with contextlib.suppress(OSError):
            if kind == "file":
                line = json.dumps({"own": f"{seed}-{next(numbers)}", "pad": "x" * 40})
                fresh.write_text(f"{line}\n" * chance.randrange(1, 4))
            elif kind == "link":
                fresh.symlink_to(chance.choice(targets))
            elif kind == "fifo":
                os.mkfifo(fresh)
            else:
                fresh.mkdir()
                (fresh / "a.jsonl").write_text('{"own": "below"}\n')
                (fresh / "y").mkdir()
            with contextlib.suppress(OSError):
                # a directory cannot replace anything else, nor be replaced
                place.rename(traces / f".old-{seed}-{next(numbers)}")
            fresh.rename(place)
        if next(numbers) % 50 < 2:
            for old in traces.glob(".*"):
                remove(old)


def remove(path: Path) -> None:
    """Remove whatever has a name."""
    if not path.is_symlink() and path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def lay_out(outside: Path) -> list[Path]:
    """Make what the agent may not read; return where its links lead to."""
    outside.mkdir(mode=0o700)
    below = outside / "x" / "y"
    below.mkdir(parents=True)
    for folder in (outside, outside / "x", below):
        for name in ("a.jsonl", "b.jsonl", "secret"):
            (folder / name).write_bytes(b'{"text": "%s"}\n' % SECRET)
            (folder / name).chmod(0o600)
    os.mkfifo(outside / "fifo.jsonl")
    return [outside / "a.jsonl", outside / "secret", outside, outside / "x", outside / "fifo.jsonl"]


def race(folder: Path, seconds: float, seed: int, symlinks: str) -> list[str]:
    """Run the daemon among swaps; return what was opened or shipped that is not the tree's."""
    folder.chmod(0o755)
    sidecar = Sidecar(folder)
    sidecar.configure(
        LAKE.format(lake=sidecar.lake),
        source=f'symlinks = "{symlinks}"',
        daemon='held_limit = "1GiB"',
    )
    os.chown(sidecar.traces, AGENT, AGENT)
    targets = lay_out(folder / "outside")
    watched = [folder / "outside", *(folder / "outside").rglob("*")]
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    events = KernelEvents(watched)
    until = time.time() + seconds
    agents = [
        multiprocessing.get_context("spawn").Process(
            target=swap, args=(sidecar.traces, targets, until, seed + number)
        )
        for number in range(2)
    ]
    trouble: list[str] = []
    try:
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.join()
            assert agent.exitcode == 0
        trouble += [f"opened: {path}" for path in events.take()]
        (sidecar.traces / "last.jsonl").write_text('{"own": "last"}\n')
        wait_until(lambda: any(b'"last"' in line for line in sidecar.lines()))
        code = sidecar.stop()
        if code not in {0, 75}:
            said = sidecar.log.read_text(errors="replace")[-4000:]
            trouble.append(f"the daemon ended with {code}: {said}")
    finally:
        sidecar.kill()
    trouble += [f"opened: {path}" for path in events.take()]
    lines = sidecar.lines()
    trouble += [f"shipped: {line!r}" for line in lines if b'"own"' not in line or SECRET in line]
    trouble += [
        f"linked: {path}" for path in watched if not path.is_dir() and os.lstat(path).st_nlink > 1
    ]
    sys.stdout.write(f"{len(lines)} lines arrived in {seconds:.0f} s of swaps (seed {seed})\n")
    return trouble


def main(arguments: Sequence[str] | None = None) -> int:
    """Race, and report."""
    parser = argparse.ArgumentParser(prog="make race", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--symlinks", choices=("never", "same_owner"), default="never")
    given = parser.parse_args(arguments)
    if os.geteuid() != 0:
        sys.stderr.write("the race needs root: the agent is another user than the daemon\n")
        return 2
    seed = given.seed or random.SystemRandom().randrange(1 << 31)
    with tempfile.TemporaryDirectory(prefix="tracesidecar-race-") as folder:
        try:
            trouble = race(Path(folder), given.seconds, seed, given.symlinks)
        except subprocess.SubprocessError as error:
            trouble = [str(error)]
    for each in dict.fromkeys(trouble):
        sys.stderr.write(f"{each}\n")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
