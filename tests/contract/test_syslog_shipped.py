"""What the whole program delivers to syslog: CEF within the limit of a message, without loading any
heavy client.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pycef
import pytest

from tests.servers.rsyslog import Input, LogServer, Understood

PROGRAM = Path(sys.executable).with_name("tracesidecar")
TEXTS = ("short", "x" * 60_000, "naïve ☃ " * 4_000)


LIMITS = {"tcp": 8096, "relp": 8096, "udp": 1432}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[Input, LogServer]]:
    servers: dict[Input, LogServer] = {
        kind: LogServer(tmp_path / kind, kind) for kind in ("tcp", "relp", "udp")
    }
    for server in servers.values():
        server.start()
    yield servers
    for server in servers.values():
        server.stop()


def ship_events(
    folder: Path, servers: dict[Input, LogServer], content: str
) -> dict[Input, list[Understood]]:
    """Ship three events to each server; return what each has parsed."""
    trace = folder / "trace.jsonl"
    trace.write_text(
        "".join(
            json.dumps({"timestamp": f"2026-09-21T14:13:2{n}Z", "role": "user", "content": text})
            + "\n"
            for n, text in enumerate(TEXTS)
        )
    )
    blocks = [
        f'state_directory = "{folder}/state"\n[[source]]\nname = "agent"\ninclude = ["{trace}"]\n'
    ]
    for kind, server in servers.items():
        where = 'type = "relp"' if kind == "relp" else f'type = "syslog"\ntransport = "{kind}"'
        blocks.append(
            f'[[sink]]\nname = "{kind}"\n{where}\nhost = "127.0.0.1"\nport = {server.port}\n'
            f"{content}"
        )
    configuration = folder / "tracesidecar.toml"
    configuration.write_text("".join(blocks))
    done = subprocess.run(
        [PROGRAM, "ship", "--once", "--strict", "--config", configuration],
        capture_output=True,
        env={**os.environ, "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr.decode()
    return {kind: server.read_understood() for kind, server in servers.items()}


def test_events_arrive_as_cef_without_their_content_by_default(
    tmp_path: Path, servers: dict[Input, LogServer]
) -> None:
    for messages in ship_events(tmp_path, servers, "").values():
        assert [
            pycef.parse(message.record.decode()).get("msg", "absent") for message in messages
        ] == ["absent"] * len(TEXTS)


def test_a_record_longer_than_a_message_is_truncated_with_a_marker(
    tmp_path: Path, servers: dict[Input, LogServer]
) -> None:
    for kind, messages in ship_events(tmp_path, servers, 'content = "full"\n').items():
        sizes = [
            len(
                (
                    f"<14>1 {m.time} {m.hostname} {m.app_name} {m.procid} {m.msgid} "
                    f"{m.structured_data} {m.msg}"
                ).encode()
            )
            for m in messages
        ]
        assert max(sizes) <= LIMITS[kind]
        texts = [pycef.parse(message.record.decode())["msg"] for message in messages]
        assert texts[0] == "short"
        assert all(
            text.startswith(whole[:8]) and "…[truncated " in text
            for text, whole in zip(texts[1:], TEXTS[1:], strict=True)
        )


def test_syslog_and_relp_load_no_heavy_client() -> None:
    heavy = {"aiohttp", "boto3", "duckdb", "google", "psycopg", "pyarrow", "yarl"}
    code = (
        "import sys; from tracesidecar.sinks import record_limit_of, relp, syslog\n"
        "record_limit_of(relp.Options(name='a', type='relp', host='h', port=2514))\n"
        "record_limit_of(syslog.Options(name='b', type='syslog', host='h'))\n"
        f"print(sorted({heavy!r} & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        == "[]\n"
    )


HOSTILE = "".join(map(chr, (*range(32), 127, *range(128, 160), 0x2028, 0x202E, 0x2066, 0x200F)))
ACTS = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]")


@pytest.mark.parametrize("form", ["cef", "leef", "raw", "event", "ecs", "ocsf"])
def test_what_an_agent_writes_cannot_act_in_a_message(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    line = {
        "timestamp": "2026-09-21T14:13:20Z",
        "role": "user",
        "content": f"pears{HOSTILE}",
        HOSTILE: "x",
        "conversation_id": f"c{HOSTILE}",
    }
    written = json.dumps(line, ensure_ascii=False)
    # Names are written by the agent, too, and JSON allows a tab between two values.
    (folder / "a\x1b[2J\u202egpj.jsonl").write_text(f"{{\t{written[1:]}\r\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        configuration = tmp_path / "tracesidecar.toml"
        configuration.write_text(
            f'state_directory = "{tmp_path}/state"\n'
            f'[[source]]\nname = "agent"\ninclude = ["{folder}/*.jsonl"]\n'
            f'[[sink]]\nname = "siem"\ntype = "syslog"\ntransport = "udp"\nhost = "127.0.0.1"\n'
            f'port = {receiver.getsockname()[1]}\nformat = "{form}"\ncontent = "full"\n'
            f'max_message = "60000B"\nbom = false\n'
        )
        done = subprocess.run(
            [PROGRAM, "ship", "--once", "--strict", "--config", configuration],
            capture_output=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr.decode()
        message = receiver.recv(65_507).decode()
    assert "pears" in message
    assert "\\u202egpj.jsonl" in message or "\ufffdgpj.jsonl" in message
    assert set(ACTS.findall(message)) <= ({"\t"} if form == "leef" else set())
    if form == "raw":
        assert json.loads(message.partition("] ")[2]) == line
