"""Secrets are planted wherever a trace can have them, and then everything that the program has
written or said is searched for them.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import signal
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.faults import driver
from tests.servers.processes import wait_until
from tests.servers.receiving import ReceivingServer
from tests.warm import sign_compiled

BODY_LENGTH = 36
PARTS = (slice(0, 12), slice(12, 24), slice(24, 36))
"""A third of a secret that comes through is found too."""


def make_token(name: str) -> str:
    """A token of a well-known form whose body occurs nowhere else."""
    chance = random.Random(name)
    return (
        "gh" + "p_" + "".join(chance.choices(string.ascii_letters + string.digits, k=BODY_LENGTH))
    )


ACCEPTED: dict[str, Callable[[str], bytes]] = {
    "value": lambda c: json.dumps({"cmd": f"export GITHUB_TOKEN={c}"}).encode(),
    "nested": lambda c: json.dumps(
        {"out": json.dumps({"env": {"K": json.dumps({"deep": c})}})}
    ).encode(),
    "key": lambda c: json.dumps({c: 1}).encode(),
    "duplicate key": lambda c: f'{{"a":"{c}","a":"x"}}'.encode(),
    "password": lambda c: json.dumps({"password": c[4:]}).encode(),
    "base64": lambda c: json.dumps(
        {"auth": "Basic " + base64.b64encode(f"user:{c}".encode()).decode()}
    ).encode(),
    "url": lambda c: json.dumps({"remote": f"https://x:{c}@example.org/r.git"}).encode(),
    "escaped": lambda c: (
        '{"t":"' + "".join(f"\\u{ord(letter):04x}" for letter in c) + '"}'
    ).encode(),
    "poison": lambda c: json.dumps({"text": "poison", "t": c}).encode(),
}
REJECTED: dict[str, Callable[[str], bytes]] = {
    "not JSON": lambda c: f"broken {c}".encode(),
    "two documents": lambda c: f'{{"t":"{c}"}} {{"u":1}}'.encode(),
    "not UTF-8": lambda c: b'{"a":"\xff\xfe ' + c.encode() + b'"}',
    "NaN": lambda c: f'{{"a":NaN,"t":"{c}"}}'.encode(),
    "lone surrogate": lambda c: rf'{{"a":"\ud800 {c}"}}'.encode(),
    "too deep": lambda c: b"[" * 3000 + f'"{c}"'.encode() + b"]" * 3000,
    "binary": lambda c: b"\0\x01\x02" + c.encode() + b"\0",
    "too long": lambda c: json.dumps({"t": c, "filler": "x" * 40_000}).encode(),
}
SECRETS = {
    name: make_token(name) for name in (*ACCEPTED, *REJECTED, "torn", "file name", "error", "stdin")
}


def needles(name: str) -> list[bytes]:
    body = SECRETS[name][-BODY_LENGTH:].encode()
    encoded = [base64.b64encode(b"x" * shift + body)[4:-4] for shift in range(3)]
    return [body[part] for part in PARTS] + encoded


@dataclass(frozen=True)
class Field:
    """A sidecar whose traces are full of planted secrets.

    One of its sinks accepts everything, one rejects a record, and one is down.
    """

    sidecar: Sidecar
    receiver: ReceivingServer

    @property
    def trace(self) -> Path:
        return self.sidecar.traces / f"run-{SECRETS['file name']}.jsonl"

    @property
    def cache(self) -> Path:
        """Where what the commands cache is searched, too."""
        return self.sidecar.folder / "cache"

    def plant(self) -> None:
        lines = [make(SECRETS[name]) for name, make in (*ACCEPTED.items(), *REJECTED.items())]
        append(self.trace, [*number_lines(0, 3), *lines, *number_lines(3, 3)])
        with self.trace.open("ab") as file:
            file.write(f'{{"t":"{SECRETS["torn"]}'.encode())

    def configure(self, more: str = "") -> None:
        far = (
            f'[[sink]]\nname = "far"\ntype = "http"\nurl = "{self.receiver.url}"\n'
            f'batch = {{ idle = "100ms" }}\n'
        )
        dead = '[[sink]]\nname = "dead"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n'
        sinks = LAKE.format(lake=self.sidecar.lake) + far + dead
        self.sidecar.configure(
            sinks, source='max_line = "32KiB"', daemon='drain_deadline = "1s"', more=more
        )
        self.receiver.order(poison="poison")

    def arrives(self) -> None:
        """Wait until the lake and the quarantine have all that they will get."""
        self.sidecar.arrives(len(ACCEPTED) + 6)
        self.sidecar.wait_for_event("sink.retry")
        wait_until(
            lambda: {entry["sink"] for entry in self.sidecar.list_quarantined()} == {None, "far"}
        )
        assert len(self.sidecar.list_quarantined()) == len(REJECTED) + 1

    def run_commands(self) -> Iterator[tuple[str, bytes]]:
        """What the commands say about all of it."""
        entry = str(self.sidecar.list_quarantined()[0]["id"])
        for words in (
            ("status",),
            ("status", "--json"),
            ("explain", str(self.trace)),
            ("explain", str(self.trace), "--json"),
            ("quarantine", "list"),
            ("quarantine", "list", "--json"),
            ("quarantine", "show", entry),
            ("quarantine", "redrive", "--all"),
            ("scan", str(self.sidecar.traces)),
            ("scan", str(self.sidecar.traces), "--json"),
            ("check-config",),
            ("check-config", "--json"),
            ("config-schema",),
        ):
            ended = self.sidecar.ask(*words, LOG_LEVEL="debug", XDG_CACHE_HOME=str(self.cache))
            assert ended.returncode in {0, 78}, (words, ended.stderr)
            yield " ".join(words[:2]), ended.stdout + ended.stderr
        ended = self.sidecar.call(
            "redact",
            stdin=f'{{"t":"{SECRETS["stdin"]}"}}\nbroken {SECRETS["stdin"]}\n'.encode(),
            XDG_CACHE_HOME=str(self.cache),
        )
        yield "redact", ended.stdout + ended.stderr

    def pages(self) -> Iterator[tuple[str, bytes]]:
        for page in ("/metrics", "/status", "/readyz", "/livez", "/else"):
            yield page, self.sidecar.get(page)[1]

    def read_files(self) -> Iterator[tuple[str, bytes]]:
        """Every file but the traces and the links that hold them."""
        originals = {path.stat().st_ino for path in self.sidecar.traces.iterdir()}
        for path in self.sidecar.folder.rglob("*"):
            if path.is_file() and path.stat().st_ino not in originals:
                content = path.read_bytes()
                yield (
                    str(path.relative_to(self.sidecar.folder)),
                    gzip.decompress(content) if path.suffix == ".gz" else content,
                )
        for number, request in enumerate(self.receiver.requests()):
            yield f"request {number}", request.plain + repr(request.headers).encode()


LOCAL = ("state/journal.sqlite", "log.jsonl", "explain", "quarantine", "scan")
"""Where a file's name must stand as it is: what stays on this machine and names files."""


def sweep(*places: Iterator[tuple[str, bytes]]) -> None:
    """Fail with the names of the secrets and the places, never with what stands there."""
    found, searched = [], 0
    for place, content in (each for part in places for each in part):
        searched += 1
        names = [name for name in SECRETS if name != "file name" or not place.startswith(LOCAL)]
        found += [
            (name, place) for name in names if any(needle in content for needle in needles(name))
        ]
    assert found == []
    assert searched > 5


@pytest.fixture
def field(sidecar: Sidecar, receiver: ReceivingServer) -> Field:
    field = Field(sidecar, receiver)
    field.configure()
    field.plant()
    sign_compiled(field.cache / "tracesidecar" / "rules")
    return field


def test_the_sweep_finds_what_is_there(field: Field) -> None:
    (field.sidecar.folder / "note").write_bytes(b"x" + SECRETS["value"][20:].encode())
    places = list(field.read_files())
    with pytest.raises(AssertionError, match="note"):
        sweep(iter(places * 9))


@pytest.mark.parametrize(
    "sealed",
    [
        pytest.param(False, id="by reference", marks=pytest.mark.long),
        pytest.param(True, id="sealed"),
    ],
)
def test_no_secret_is_written_or_logged_while_sinks_accept_reject_or_are_down(
    field: Field, sealed: bool
) -> None:
    if sealed:
        field.configure(
            f'[quarantine]\nseal_to = "{pyrage.x25519.Identity.generate().to_public()}"\n'
        )
    field.sidecar.start(LOG_LEVEL="debug")
    field.arrives()
    sweep(field.read_files(), field.pages(), field.run_commands())
    field.trace.rename(field.sidecar.traces / "renamed.jsonl")
    append(field.sidecar.traces / "b.jsonl", number_lines(50, 2))
    field.sidecar.arrives(len(ACCEPTED) + 8)
    field.sidecar.wait_for_event("sink.redrive_refused")
    sweep(field.read_files(), field.pages())
    assert field.sidecar.stop() == 75
    sweep(field.read_files())


@pytest.mark.parametrize(
    "point",
    [
        "sending",
        *(
            pytest.param(p, marks=pytest.mark.long)
            for p in ("read", "planned", "sent", "committing")
        ),
    ],
)
def test_no_secret_is_left_by_a_kill(field: Field, point: str) -> None:
    with field.sidecar.log.open("ab") as log:
        ended = subprocess.run(
            [sys.executable, driver.__file__, point, "1", field.sidecar.config],
            env=field.sidecar.environment(LOG_LEVEL="debug"),
            cwd=Path(driver.__file__).parents[2],
            stderr=log,
            timeout=600,
            check=False,
        )
    assert ended.returncode == -signal.SIGKILL
    sweep(field.read_files())
    field.sidecar.start(LOG_LEVEL="debug")
    field.arrives()
    sweep(field.read_files())
    field.sidecar.stop(signal.SIGKILL)
    sweep(field.read_files())


QUOTING = """
import os, sys
from tracesidecar import daemon, logs
from tracesidecar.cli import main
from tracesidecar.config.load import load

def at(point):
    if point == sys.argv[2]:
        raise ValueError("while reading " + sys.argv[3])

sys.exit(daemon.run(load(sys.argv[1], os.environ), at=at))
"""
"""The daemon with a bug: at a named point it raises an error that quotes a trace."""


@pytest.mark.parametrize("point", ["read", "planned", "sending", "sent", "committing"])
def test_a_bug_whose_error_quotes_a_secret_does_not_reveal_it(field: Field, point: str) -> None:
    with field.sidecar.log.open("ab") as log:
        command = [
            sys.executable,
            "-c",
            QUOTING,
            str(field.sidecar.config),
            point,
            SECRETS["error"],
        ]
        field.sidecar.daemon = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=field.sidecar.environment(LOG_LEVEL="debug"),
            cwd=field.sidecar.folder,
        )
    field.sidecar.wait_for_event("sink.restarting", 2)
    sweep(field.read_files(), field.pages())
    field.sidecar.stop()
    sweep(field.read_files())
    assert b"ValueError" in field.sidecar.log.read_bytes()
