"""A real syslog server: rsyslog with one input, and a file of the messages that it has parsed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.servers.processes import Server, free_port, require, wait_until

Input = Literal["tcp", "udp", "relp"]
QUIET_SECONDS = 0.1

_CONFIGURATION = """
global(workDirectory="{folder}" {longest}parser.escapeControlCharactersOnReceive="off"{tls_global})
{modules}
template(name="understood" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf")
  property(outname="time" name="timereported" dateformat="rfc3339" format="jsonf")
  property(outname="hostname" name="hostname" format="jsonf")
  property(outname="app_name" name="app-name" format="jsonf")
  property(outname="procid" name="procid" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="structured_data" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
}}
ruleset(name="keep" queue.type="Direct") {{
  action(type="omfile" file="{store}" template="understood")
}}
{input}
"""


@dataclass(frozen=True)
class ServerTls:
    """Files with the server's certificate and key, and with the CA of its clients."""

    certificate: Path
    client_ca: Path


@dataclass(frozen=True)
class Understood:
    """A message as the server has parsed it."""

    pri: int
    time: str
    hostname: str
    app_name: str
    procid: str
    msgid: str
    structured_data: str
    msg: str

    @property
    def event_id(self) -> str:
        """The parameter of that name, which is the first."""
        return self.structured_data.partition(' event="')[2].partition('"')[0]

    @property
    def record(self) -> bytes:
        """The text after the UTF-8 mark."""
        return self.msg.removeprefix("\ufeff").encode()


class LogServer:
    """An rsyslog process; it keeps its data when it is restarted.

    `permitted` is the name that a client's certificate must have. It accepts messages of 1 MiB, or,
    with `is_bare`, those of its default configuration.
    """

    def __init__(
        self,
        folder: Path,
        kind: Input,
        tls: ServerTls | None = None,
        permitted: str = "",
        *,
        is_bare: bool = False,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.ports = {self.port}
        """Where what comes here may lie on its way: a proxy's port has to be added."""
        self._folder, self._kind, self._tls, self._permitted, self._is_bare = (
            folder,
            kind,
            tls,
            permitted,
            is_bare,
        )
        self._store = folder / "understood.jsonl"
        root = require("rsyslog").parents[2]
        libraries = root / "usr" / "lib" / f"{os.uname().machine}-linux-gnu"
        command: list[str | Path] = [
            root / "usr/sbin/rsyslogd",
            "-n",
            "-f",
            folder / "conf",
            "-i",
            folder / "pid",
            "-M",
            libraries / "rsyslog",
        ]
        self._server = Server(
            command, self.port, folder / "log", {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
        )

    def start(self) -> None:
        """Start it; for UDP it also listens on TCP, so that a test can see that it is up."""
        (self._folder / "conf").write_text(self._configuration())
        self._server.start()

    def stop(self) -> None:
        """Stop it once it has parsed everything that it received."""
        self.wait_until_quiet()
        self._server.stop()

    def permit_only(self, name: str) -> None:
        """Start again for clients of another name."""
        self.stop()
        self._permitted = name
        self.start()

    def read_understood(self) -> list[Understood]:
        """Read everything, repeats included."""
        self.wait_until_quiet()
        if not self._store.exists():
            return []
        kept = (json.loads(line) for line in self._store.read_bytes().split(b"\n")[:-1])
        return [Understood(**{**one, "pri": int(one["pri"])}) for one in kept]

    def records(self) -> list[bytes]:
        """Read the records in the order of first arrival, each event once."""
        return list(
            {one.event_id: one.record for one in reversed(self.read_understood())}.values()
        )[::-1]

    def wait_until_quiet(self) -> None:
        """Return when the server has nothing left to do, which syslog itself does not report.

        That is when no socket holds any bytes, all its threads sleep, and the file has not grown
        for a while.
        """
        seen, since = self._state(), time.monotonic()

        def is_quiet() -> bool:
            nonlocal seen, since
            if (now := self._state()) != seen or now[1] or not self._server.is_idle:
                seen, since = now, time.monotonic()
            return time.monotonic() - since > QUIET_SECONDS

        wait_until(is_quiet)

    def _state(self) -> tuple[int, int]:
        size = self._store.stat().st_size if self._store.exists() else 0
        return size, _count_queued_bytes(self.ports)

    def _configuration(self) -> str:
        options, tls_global = "", ""
        if self._tls is not None and self._kind == "tcp":
            options, tls_global = self._stream_driver()
        elif self._tls is not None and self._kind == "relp":
            options, tls_global = self._relp_tls()
        address = f'address="127.0.0.1" port="{self.port}" ruleset="keep"'
        modules, listening = (
            f'module(load="im{self._kind}")',
            f'input(type="im{self._kind}" {address})',
        )
        longest = "" if self._is_bare else 'maxMessageSize="1m" '
        if self._kind == "tcp":
            frames = "" if self._is_bare else ' maxFrameSize="1100000"'
            modules = f'module(load="imtcp"{frames}{options})'
        elif self._kind == "relp":
            data = "" if self._is_bare else ' maxDataSize="1m"'
            listening = f'input(type="imrelp" {address}{data}{options})'
        elif self._kind == "udp":
            modules += 'module(load="imtcp")'
            listening += f'input(type="imtcp" {address})'
        return _CONFIGURATION.format(
            folder=self._folder,
            store=self._store,
            modules=modules,
            input=listening,
            tls_global=tls_global,
            longest=longest,
        )

    def _stream_driver(self) -> tuple[str, str]:
        assert self._tls is not None
        files = (
            f'CAFile="{self._tls.client_ca}"',
            f'CertFile="{self._tls.certificate}"',
            f'KeyFile="{self._tls.certificate}"',
        )
        everywhere = "".join(f" defaultNetstreamDriver{file}" for file in files)
        mode = (
            f'StreamDriver.AuthMode="x509/name" PermittedPeer=["{self._permitted}"]'
            if self._permitted
            else 'StreamDriver.AuthMode="anon"'
        )
        return (
            f' StreamDriver.Name="gtls" StreamDriver.Mode="1" {mode}',
            f' defaultNetstreamDriver="gtls"{everywhere}',
        )

    def _relp_tls(self) -> tuple[str, str]:
        assert self._tls is not None
        files = (
            f'tls.caCert="{self._tls.client_ca}" tls.myCert="{self._tls.certificate}" '
            f'tls.myPrivKey="{self._tls.certificate}"'
        )
        return f' tls="on" tls.authMode="name" tls.permittedPeer=["{self._permitted}"] {files}', ""


def _count_queued_bytes(ports: set[int]) -> int:
    """Return the bytes in the queues of sockets from or to these ports."""
    queued = 0
    for table in ("tcp", "udp"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if (
                ports & {int(address.rpartition(":")[2], 16) for address in words[1:3]}
                and words[3] != "0A"
            ):  # a listener's queue counts connections
                sent, received = words[4].split(":")
                queued += int(sent, 16) + int(received, 16)
    return queued
