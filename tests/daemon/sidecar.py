"""Drive the installed program as its users do: a configuration, a process, a lake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import msgspec

from tests.daemon.prepared import run_prepared
from tests.servers.processes import free_port, wait_until
from tests.warm import find_shared_cache, warm
from tracesidecar.encode.jsonl import decode_lines

PROGRAM = Path(sys.executable).with_name("tracesidecar")
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""  # a small parent of its own: a child's peak begins with what its parent had at the fork
LAKE = (
    '[[sink]]\nname = "lake"\ntype = "directory"\npath = "{lake}"\n'
    'batch = {{ age = "500ms", idle = "100ms" }}\n'
)


class Sidecar:
    """One folder with traces, lake, state and configuration; at most one daemon."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.traces = folder / "traces"
        self.lake = folder / "lake"
        self.state = folder / "state"
        self.config = folder / "tracesidecar.toml"
        self.port = free_port()
        self.log = folder / "log.jsonl"
        self.prefix: tuple[str, ...] = ()
        self.traces.mkdir()
        warm(self.state)
        self.configure(LAKE.format(lake=self.lake))
        self.daemon: subprocess.Popen[bytes] | None = None

    def configure(self, sinks: str, source: str = "", daemon: str = "", more: str = "") -> None:
        """Write the configuration: sinks and whatever else a test needs."""
        self.config.write_text(
            f'state_directory = "{self.state}"\n[daemon]\nlisten = "127.0.0.1:{self.port}"\n'
            f'poll_interval = "200ms"\n{daemon}\n'
            f'[[source]]\nname = "agent"\ninclude = ["{self.traces}/**/*.jsonl"]\n'
            f'copy_grace = "500ms"\n{source}\n{sinks}\n{more}\n'
        )

    def environment(self, **more: str) -> dict[str, str]:
        """What the program sees: no configuration of the person who runs the tests."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("XDG_", "TRACESIDECAR_", "LOG_"))
        }
        return {
            **kept,
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(find_shared_cache()),
            "LOG_FORMAT": "json",
            **more,
        }

    def call(
        self, *words: str, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end."""
        command = [str(PROGRAM), "--config", str(self.config), *words]
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env=self.environment(**environment),
            cwd=self.folder,
            timeout=600,
            check=False,
        )

    def ask(self, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end, of which it does not matter how it is started."""
        command = [str(PROGRAM), "--config", str(self.config), *words]
        return run_prepared(command, self.environment(**environment), self.folder)

    def ship(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """`ship --once`."""
        return self.ask("ship", "--once", *words)

    def ship_measured(self) -> tuple[int, int]:
        """`ship --once`: exit code, and peak memory in bytes."""
        command = [
            sys.executable,
            "-c",
            MEASURE,
            str(PROGRAM),
            "--config",
            str(self.config),
            "ship",
            "--once",
        ]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            env=self.environment(),
            cwd=self.folder,
            timeout=600,
            check=True,
        )
        code, kibibytes = map(int, done.stdout.split())
        return code, kibibytes << 10

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start the daemon; `prefix` is a command that runs it, such as `nice`."""
        with self.log.open("ab") as log:
            command = [
                *self.prefix,
                str(PROGRAM),
                "--config",
                str(self.config),
                *(words or ("run",)),
            ]
            self.daemon = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment(**environment),
                cwd=self.folder,
            )
        return self.daemon

    def start_script(self, script: Path) -> subprocess.Popen[bytes]:
        """Start a script that runs the daemon in a world of its own making."""
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, str(script), str(self.config)],
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment(),
                cwd=self.folder,
            )
        return self.daemon

    def wait_for_event(self, event: str, times: int = 1) -> None:
        """Wait until the log has the event so many times."""
        wait_until(
            lambda: (
                sum(record.get("event") == event for record in self.events()) >= times
                or self.has_ended()
            )
        )

    def has_ended(self) -> bool:
        """The daemon is gone."""
        return self.daemon is not None and self.daemon.poll() is not None

    def pause(self) -> None:
        """Stop every thread of the daemon; one that runs on another processor goes on for a while
        after the signal.
        """
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.daemon.pid}/task")

        def are_stopped() -> bool:
            stats = [path.read_text() for path in threads.glob("*/stat")]
            return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

        wait_until(are_stopped)

    def resume(self) -> None:
        """Let the threads of a stopped daemon go on."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGCONT)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.daemon is not None
        self.daemon.send_signal(number)
        return self.daemon.wait(600)

    def kill(self) -> None:
        """End the daemon if it still runs."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()

    def events(self) -> list[dict[str, object]]:
        """What the daemon logged."""
        return (
            [
                json.loads(line)
                for line in self.log.read_bytes().splitlines()
                if line.startswith(b"{")
            ]
            if self.log.exists()
            else []
        )

    def objects(self) -> list[Path]:
        """The data objects of the lake, of lines or of events."""
        return sorted(
            [*self.lake.glob("raw/v1/dt=*/*.jsonl*"), *self.lake.glob("v1/dt=*/dialect=*/*.jsonl*")]
        )

    def lines(self) -> list[bytes]:
        """Every line in the lake."""
        return [
            line
            for path in self.objects()
            for line in decode_lines(path.read_bytes(), "gzip").splitlines()
        ]

    def arrives(self, count: int) -> None:
        """Wait until the lake has so many lines."""
        wait_until(lambda: len(self.lines()) >= count or self.has_ended())

    def get(self, page: str) -> tuple[int, bytes]:
        """Ask a health page."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{page}", timeout=120
            ) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def list_quarantined(self) -> list[dict[str, object]]:
        """Return what `quarantine list --json` prints."""
        document = msgspec.json.decode(self.ask("quarantine", "list", "--json").stdout)
        return list(document["quarantine"])


def number_lines(first: int, count: int, **more: object) -> list[bytes]:
    """So many different lines."""
    return [
        json.dumps({"n": n, "text": f"line {n}", **more}).encode()
        for n in range(first, first + count)
    ]


def body(lines: list[bytes]) -> bytes:
    """Lines as a file holds them."""
    return b"".join(line + b"\n" for line in lines)


def append(path: Path, lines: list[bytes]) -> None:
    """Write whole lines at the end of a file."""
    with path.open("ab") as file:
        file.write(body(lines))
