"""The tests' side of the receiver: start it, give it orders, and read what it has kept."""

from __future__ import annotations

import base64
import json
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.servers.processes import Server, free_port
from tracesidecar.encode.jsonl import decode_lines
from tracesidecar.model import Compression

RECEIVER = Path(__file__).with_name("receiver.py")


@dataclass(frozen=True)
class Request:
    """A request as it arrived; `body` is as sent, `kept` whether it was answered with 2xx."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    kept: bool

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.headers.get("Idempotency-Key", "")

    @property
    def plain(self) -> bytes:
        """The body without its compression."""
        encoding = self.headers.get("Content-Encoding", "none")
        return decode_lines(self.body, msgspec.convert(encoding, Compression))


class ReceivingServer:
    """A receiver process with its file of requests; both survive a restart on the same port."""

    def __init__(
        self, folder: Path, *, certificate: Path | None = None, client_ca: Path | None = None
    ) -> None:
        self.port = free_port()
        self._store = folder / "requests.jsonl"
        self._scheme = "http" if certificate is None else "https"
        tls: list[str | Path] = [] if certificate is None else ["--certificate", certificate]
        tls += [] if client_ca is None else ["--client-ca", client_ca]
        self.server = Server(
            [sys.executable, RECEIVER, "--port", str(self.port), "--store", self._store, *tls],
            self.port,
            folder / "log",
        )

    @property
    def url(self) -> str:
        """Its address without a proxy."""
        return f"{self._scheme}://127.0.0.1:{self.port}/ingest"

    def start_empty(self) -> None:
        """Start it without requests and orders."""
        if not self.server.is_running:
            self.server.start()
        self._store.write_bytes(b"")  # the receiver appends
        self.order(tokens_given=0)

    def order(self, **control: object) -> None:
        """Set how it answers from now on."""
        data = json.dumps(control).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/_control", data, method="PUT"
        )
        urllib.request.urlopen(request, timeout=600).close()

    def requests(self, method: str = "POST") -> list[Request]:
        """Read what arrived, in order."""
        if not self._store.exists():
            return []
        whole, _, _ = self._store.read_bytes().rpartition(b"\n")  # it may be writing a line now
        records = [json.loads(line) for line in whole.splitlines()]
        return [
            Request(**{**record, "body": base64.b64decode(record["body"])})
            for record in records
            if record["method"] == method
        ]

    def read_kept_lines(self) -> list[bytes]:
        """Read the records that it has stored, once for each idempotency key, like a server that
        honours the keys.
        """
        kept = {request.key: request.plain for request in self.requests() if request.kept}
        return [line for body in kept.values() for line in body.split(b"\n")[:-1]]
