"""The syslog sink against a second server: syslog-ng reads the same messages as rsyslog."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.contract.batches import ODD_LINES, batch_for, lines_of
from tests.contract.syslog_place import LARGEST, Authority
from tests.servers.processes import Server, free_port, require, wait_until
from tracesidecar.sinks import syslog
from tracesidecar.sinks.transport.tls import TlsOptions

pytestmark = pytest.mark.long

_CONFIGURATION = """@version: 3.38
options {{ log-msg-size(1100000); stats-freq(0); }};
source sent {{ syslog(transport("{transport}") ip(127.0.0.1) port({port}){tls}); }};
destination kept {{ file("{store}" template("$(format-json \
--pair event=\\"${{.SDATA.tracesidecar@32473.event}}\\" --pair msg=\\"${{MSG}}\\")\\n")); }};
log {{ source(sent); destination(kept); flags(flow-control); }};
"""


class SyslogNg:
    """A syslog-ng process with a file of the messages that it has parsed."""

    def __init__(
        self, folder: Path, transport: Literal["tls", "tcp"], authority: Authority
    ) -> None:
        folder.mkdir()
        self.port = free_port()
        self._store = folder / "kept.jsonl"
        files = (
            f'key-file("{authority.server}") cert-file("{authority.server}") '
            f'ca-file("{authority.file}")'
        )
        tls = f" tls({files} peer-verify(required-trusted))" if transport == "tls" else ""
        (folder / "conf").write_text(
            _CONFIGURATION.format(transport=transport, port=self.port, tls=tls, store=self._store)
        )
        root = require("syslog-ng").parents[2]
        machine = f"{os.uname().machine}-linux-gnu"
        libraries = root / "usr/lib/syslog-ng"
        own = [f"--{key}={folder / key}" for key in ("persist-file", "control", "pidfile")]
        command: list[str | Path] = [
            root / "usr/sbin/syslog-ng",
            "--foreground",
            "--no-caps",
            f"--module-path={libraries / '3.38'}",
            f"--cfgfile={folder / 'conf'}",
        ]
        paths = ":".join(map(str, (libraries, root / "usr/lib" / machine, root / "lib" / machine)))
        self.server = Server(
            [*command, *own], self.port, folder / "log", {**os.environ, "LD_LIBRARY_PATH": paths}
        )

    def records(self, count: int) -> list[tuple[str, str]]:
        """Wait for that many; return event ids and messages."""
        wait_until(lambda: self._store.exists() and self._store.read_bytes().count(b"\n") >= count)
        return [
            (kept["event"], kept["msg"])
            for kept in map(json.loads, self._store.read_bytes().split(b"\n")[:-1])
        ]


@pytest.fixture(params=["tls", "tcp"])
def transport(request: pytest.FixtureRequest) -> Literal["tls", "tcp"]:
    return "tls" if request.param == "tls" else "tcp"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def syslog_ng(
    tmp_path: Path, transport: Literal["tls", "tcp"], authority: Authority
) -> Iterator[SyslogNg]:
    running = SyslogNg(tmp_path / "syslog-ng", transport, authority)
    running.server.start()
    yield running
    running.server.stop()


async def test_syslog_ng_has_every_record_and_its_event(
    syslog_ng: SyslogNg, transport: Literal["tls", "tcp"], authority: Authority, tmp_path: Path
) -> None:
    tls = (
        TlsOptions(
            ca_file=str(authority.file),
            cert_file=str(authority.write_certificate(tmp_path / "client.pem", "client.example")),
        )
        if transport == "tls"
        else None
    )
    options = syslog.Options(
        name="siem",
        type="syslog",
        host="127.0.0.1",
        port=syslog_ng.port,
        transport=transport,
        tls=tls,
        max_message=LARGEST,
    )
    batch = batch_for("syslog", [*lines_of(1000), *ODD_LINES])
    async with syslog.build(options) as sink:
        await sink.send(batch)
    found = [
        (event, message.removeprefix("\ufeff").encode())
        for event, message in syslog_ng.records(len(batch.records))
    ]
    assert found == [(record.id, record.body) for record in batch.records]
