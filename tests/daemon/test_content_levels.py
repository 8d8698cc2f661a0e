"""What a sink with less than `full` is sent, whatever its format: nothing of what was said."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.daemon.sidecar import Sidecar, append
from tests.daemon.test_events import put_fixtures
from tests.daemon.test_recover import lose_state
from tests.dialects.golden import fixtures
from tests.encode.levels import LEVELS_BELOW_FULL
from tests.encode.test_content import FORMATS, list_forbidden
from tracesidecar.batch.manifest import decode_manifest
from tracesidecar.encode.jsonl import compression_of, decode_lines

SINK = """
[[sink]]
name = "{form}-{level}"
type = "directory"
path = "{lake}"
format = "{form}"
content = "{level}"
"""
SYSLOG = """
[[sink]]
name = "syslog-{level}"
type = "syslog"
host = "127.0.0.1"
port = {port}
transport = "tcp"
format = "cef"
max_message = "256KiB"
{content}
"""


def text_below(lake: Path) -> str:
    """Return everything that a store has, manifests too, with the names of its objects."""
    found: list[str] = []
    for path in sorted(each for each in lake.rglob("*") if each.is_file()):
        found.append(path.relative_to(lake).as_posix())
        if path.suffix == ".parquet":
            found += map(str, pq.read_table(path, partitioning=None).to_pylist())
        else:
            found.append(decode_lines(path.read_bytes(), compression_of(path.name)).decode())
    return "\n".join(found)


def fingerprints_of(lake: Path) -> frozenset[str]:
    """Return what the batches of a store were shaped by: another level is another one."""
    paths = lake.glob("_manifest/v1/dt=*/*.json")
    return frozenset(decode_manifest(path.read_bytes()).fingerprint for path in paths)


@contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """Yield the port of a server on the loopback interface, and all that it is sent."""
    received: list[bytes] = []

    class Receive(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(1 << 16):
                received.append(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Receive) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], received
        server.shutdown()


def test_no_format_of_any_level_has_what_was_said_in_any_dialect(sidecar: Sidecar) -> None:
    """Also what goes beside the records: manifests, and the headers of syslog messages."""
    put_fixtures(sidecar)
    lakes = {
        (form, level): sidecar.folder / f"{form}-{level}"
        for form in FORMATS
        for level in LEVELS_BELOW_FULL
    }
    with listener() as (port, actions), listener() as (other, metadata):
        sidecar.configure(
            "".join(
                SINK.format(form=form, level=level, lake=lake)
                for (form, level), lake in lakes.items()
            )
            + SYSLOG.format(level="actions", port=port, content='content = "actions"')
            + SYSLOG.format(level="metadata", port=other, content="")
        )
        assert sidecar.ship().returncode == 0, sidecar.log
        sent: dict[tuple[str, str], str] = {key: text_below(at) for key, at in lakes.items()}
        sent["syslog", "actions"] = b"".join(actions).decode()
        sent["syslog", "metadata"] = b"".join(metadata).decode()
    assert all(len(text) > 50_000 for text in sent.values())
    assert len({fingerprints_of(lakes["event", level]) for level in LEVELS_BELOW_FULL}) == 2
    # what one file must not say, another may: a phrase can be a command of another agent
    for level in LEVELS_BELOW_FULL:
        phrases = set[str]().union(*(list_forbidden(fixture, level) for fixture in fixtures()))
        paths = {str(sidecar.traces), "/home/agent"} if level == "metadata" else set()
        allowed = text_of_actions(sent) if level == "actions" else ""
        for (form, of), text in sent.items():
            if of == level:
                found = {each for each in phrases if each in text and each not in allowed}
                assert not found | {each for each in paths if each in text}, (form, level)


def text_of_actions(sent: dict[tuple[str, str], str]) -> str:
    """Return the commands, files, URLs and names that the rows of format `event` have."""
    rows = sent["event", "actions"]
    named = re.findall(
        r'"(?:tool_arguments|source_file|path|agent_name)":("(?:[^"\\]|\\.)*")', rows
    )
    return "\n".join(text.replace('\\\\"', '"') for text in named)


@pytest.mark.long
def test_what_is_redriven_is_as_narrow(sidecar: Sidecar) -> None:
    """A line that was rejected is delivered by a redrive, at the sink's level."""
    lake = sidecar.folder / "metadata"
    secret = b'{"type":"note","user":"alice","text":"' + b"what was said " * 4000 + b'"}'
    append(sidecar.traces / "one.jsonl", [secret])
    sinks = SINK.format(form="event", level="metadata", lake=lake)
    sidecar.configure(sinks, source='max_line = "10KiB"')
    assert sidecar.ship().returncode == 0
    assert len(sidecar.list_quarantined()) == 1
    sidecar.configure(sinks)
    assert sidecar.call("quarantine", "redrive", "--all").returncode == 0
    assert sidecar.ship().returncode == 0
    assert not sidecar.list_quarantined()
    text = text_below(lake)
    assert '"event_kind"' in text
    assert "what was said" not in text
    assert str(sidecar.traces) not in text


def test_a_store_without_paths_is_verified_and_its_files_are_recovered(sidecar: Sidecar) -> None:
    """Rows and manifests have one hash for a path, of a key that is lost with the journal; so the
    files are found by device and inode.
    """
    lake, path = sidecar.folder / "metadata", sidecar.traces / "alice-and-acme.jsonl"
    sidecar.configure(SINK.format(form="event", level="metadata", lake=lake))
    append(path, [b'{"type":"note","text":"a"}'])
    assert sidecar.ship().returncode == 0
    [manifest] = lake.glob("_manifest/v1/dt=*/*.json")
    [described] = decode_manifest(manifest.read_bytes()).ranges
    assert re.fullmatch("[0-9a-f]{32}", described.path)
    assert f'"source_file":"{described.path}"' in text_below(lake)
    lose_state(sidecar)
    assert sidecar.call("recover", "event-metadata").returncode == 0
    append(path, [b'{"type":"note","text":"b"}'])
    assert sidecar.ship().returncode == 0
    assert text_below(lake).count('"event_kind"') == 2
    assert sidecar.ask("verify", "event-metadata").returncode == 0
