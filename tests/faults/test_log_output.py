"""A log or an output that nobody takes stops no daemon, and ends a command with a sentence."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, PROGRAM, Sidecar, append, number_lines
from tracesidecar.cli import COMMANDS

PIPE_WITHOUT_READER = "a pipe without a reader"
FULL_PIPE = "a pipe whose reader stands still"
FULL_DEVICE = "a full device"
CLOSED = "no stderr at all"


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    made = Sidecar(tmp_path)
    yield made
    made.kill()


def _pipe_without_reader() -> int:
    read, write = os.pipe()
    os.close(read)
    return write


def _full_pipe(tmp_path: Path) -> int:
    """A FIFO, so that no descriptor of this process has to stay open."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        while True:
            os.write(both, b"x" * 4096)
    except BlockingIOError:
        fcntl.fcntl(both, fcntl.F_SETFL, 0)
    return both


@pytest.fixture(
    params=[
        PIPE_WITHOUT_READER,
        FULL_PIPE,
        pytest.param(FULL_DEVICE, marks=pytest.mark.long),
        pytest.param(CLOSED, marks=pytest.mark.long),
    ]
)
def stderr(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    make: dict[str, Callable[[], int]] = {
        PIPE_WITHOUT_READER: _pipe_without_reader,
        FULL_PIPE: lambda: _full_pipe(tmp_path),
        FULL_DEVICE: lambda: os.open("/dev/full", os.O_WRONLY),
        CLOSED: lambda: -1,
    }
    descriptor = make[request.param]()
    yield descriptor
    if descriptor >= 0:
        os.close(descriptor)


def test_a_log_that_nobody_takes_does_not_stop_the_daemon(sidecar: Sidecar, stderr: int) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    words = [str(PROGRAM), "--config", str(sidecar.config), "run"]
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh"] if stderr < 0 else []
    sidecar.daemon = subprocess.Popen(
        [*closed, *words],
        stderr=stderr if stderr >= 0 else None,
        env=sidecar.environment(LOG_LEVEL="debug"),
    )
    sidecar.arrives(10)
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    sidecar.arrives(20)
    assert sidecar.stop() == 0
    journal = sidecar.call("status", "--json")
    assert journal.returncode == 0, "no log line went into the journal's descriptor"


def test_what_was_dropped_of_a_log_is_counted_once_it_is_read_again(tmp_path: Path) -> None:
    script = """
import os, sys
from tracesidecar import logs
import structlog
read, write = os.pipe()
os.dup2(write, 2)
logs.PATIENCE_SECONDS = 0.0
logs.configure(environ={"LOG_FORMAT": "json"})
log = structlog.get_logger()
for number in range(3000):
    log.info("line", text="x" * 100)
while len(os.read(read, 65536)) == 65536:
    pass
log.info("last")
sys.stdout.buffer.write(os.read(read, 65536))
"""
    python = PROGRAM.with_name("python")
    done = subprocess.run([python, "-c", script], capture_output=True, check=True)
    records = done.stdout.decode().splitlines()
    assert '"event": "log.lines_dropped"' in records[-2]
    assert '"event": "last"' in records[-1]


@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("config-schema",)])
def test_a_full_device_behind_stdout_is_an_error_of_one_sentence(
    sidecar: Sidecar, words: tuple[str, ...]
) -> None:
    sidecar.ship()
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [PROGRAM, "--config", sidecar.config, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env=sidecar.environment(),
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "tracesidecar: could not write to stdout: No space left on device; "
        "what was printed is not complete\n"
    )


PRINTING: dict[str, tuple[str, ...]] = {
    "init": ("init", "--force", "--config", "written.toml"),
    "check-config": ("check-config",),
    "status": ("status",),
    "explain": ("explain", "traces/a.jsonl"),
    "quarantine": ("quarantine", "list"),
    "scan": ("scan", "traces"),
    "redact": ("redact",),
    "verify": ("verify", "lake"),
    "recover": ("recover", "lake", "--dry-run", "--force"),
    "compact": ("compact", "events", "--before", "2000-01-01", "--dry-run"),
    "ddl": ("ddl", "duckdb", "--sink", "events"),
    "config-schema": ("config-schema",),
    "version": ("version",),
}
"""Each command that prints on stdout, with words that make it print."""

SILENT = ("run", "ship", "exec", "demo")
"""They print nothing there; what a `stdout` sink or the agent of `exec` writes is records."""


QUICK = ("status", "explain", "quarantine", "version")


@pytest.mark.parametrize(
    "names",
    [QUICK, pytest.param(tuple(PRINTING.keys() - set(QUICK)), marks=pytest.mark.long)],
    ids=["quick", "others"],
)
def test_a_reader_that_has_gone_ends_every_command_quietly(
    sidecar: Sidecar, names: tuple[str, ...]
) -> None:
    """As in `explain FILE | true`: exit code 141 and no word, whatever the command draws with."""
    assert PRINTING.keys() | set(SILENT) == COMMANDS.keys()
    events = LAKE.format(lake=sidecar.folder / "events").replace('"lake"', '"events"', 1)
    sidecar.configure(LAKE.format(lake=sidecar.lake) + events + 'format = "event"\n')
    append(sidecar.traces / "a.jsonl", [*number_lines(0, 3), b"{torn"])
    assert sidecar.ship().returncode == 0

    def end(words: tuple[str, ...]) -> tuple[int, bytes]:
        write = _pipe_without_reader()
        try:
            done = subprocess.run(
                [PROGRAM, "--config", sidecar.config, *words],
                input=b'{"n":1}\n',
                stdout=write,
                stderr=subprocess.PIPE,
                env=sidecar.environment(),
                cwd=sidecar.folder,
                check=False,
            )
        finally:
            os.close(write)
        return done.returncode, done.stderr

    called = [*map(PRINTING.__getitem__, names), ("status", "--json"), ("status", "--help")]
    assert {words: end(words) for words in called} == dict.fromkeys(called, (141, b""))


def test_an_error_that_nobody_can_read_keeps_its_exit_code(sidecar: Sidecar) -> None:
    sidecar.config.write_text("nonsense = 1\n")
    for write in (_pipe_without_reader(), os.open("/dev/full", os.O_WRONLY)):
        done = subprocess.run(
            [PROGRAM, "--config", sidecar.config, "run"],
            stderr=write,
            env=sidecar.environment(),
            check=False,
        )
        os.close(write)
        assert done.returncode == 78
