"""What the whole program delivers to syslog: CEF within the limit of a message, without loading any
heavy client.
"""

from __future__ import annotations

import json
import os
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


def shipped(
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
    return {kind: server.understood() for kind, server in servers.items()}


def test_events_arrive_as_cef_without_their_content_by_default(
    tmp_path: Path, servers: dict[Input, LogServer]
) -> None:
    for messages in shipped(tmp_path, servers, "").values():
        assert [
            pycef.parse(message.record.decode()).get("msg", "absent") for message in messages
        ] == ["absent"] * len(TEXTS)


def test_a_record_longer_than_a_message_is_truncated_with_a_marker(
    tmp_path: Path, servers: dict[Input, LogServer]
) -> None:
    for kind, messages in shipped(tmp_path, servers, 'content = "full"\n').items():
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
    heavy = {"aiohttp", "aiofiles", "boto3", "duckdb", "google", "psycopg", "pyarrow", "yarl"}
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
