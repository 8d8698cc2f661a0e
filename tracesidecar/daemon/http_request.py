"""What a client of the health pages asks for, and under which name of this machine."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

HEAD_BYTES = 16 << 10
"""The longest head of a request: no probe, scraper or browser sends more."""

_END = re.compile(rb"\r?\n\r?\n")
"""People who type a request often send no CR; a receiver may do without it (RFC 9112, 2.2)."""
_LINE = re.compile(rb"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.([01])")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Request:
    """The path of a page, without a query. `has_body`: the answer has its body (GET, not HEAD)."""

    path: str
    has_body: bool = True


class RequestError(Exception):
    """The request is not answered with a page: the HTTP status, and a sentence for the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class AllowedHosts:
    """The names in the Host header under which the pages answer.

    A page of the internet may let a browser on this machine ask a name of its own, which it then
    lets point at 127.0.0.1 ("DNS rebinding"): the browser takes our answer for the page's own and
    lets its script read it. An address cannot be let point elsewhere, and `localhost` and the
    machine's own name are not the page's.
    """

    def __init__(self, listen_host: str, more: Iterable[str]) -> None:
        """`listen_host` is the host of `daemon.listen`, `more` is `daemon.allowed_hosts`."""
        names = ("localhost", socket.gethostname(), listen_host, *more)
        self._names = {name.lower().rstrip(".") for name in names if name}

    def check(self, host: str) -> None:
        """Raise RequestError if the pages do not answer to a Host header."""
        match = _HOST.fullmatch(host.lower())
        name = match[1] if match else ""
        if not (name.rstrip(".") in self._names or _is_address(name.strip("[]"))):
            raise RequestError(
                421,
                "the daemon does not answer under this name: "
                "use its address, or add the name to daemon.allowed_hosts",
            )


def find_head(received: bytes | bytearray) -> bytes | None:
    """Return the head of a request, None if it is not complete yet.

    Raise RequestError if it is too long.
    """
    if (end := _END.search(received, 0, HEAD_BYTES)) is not None:
        return bytes(received[: end.start()])
    if len(received) >= HEAD_BYTES:
        raise RequestError(431, f"the head of the request is longer than {HEAD_BYTES} bytes")
    return None


def parse_request(head: bytes, allowed: AllowedHosts | None) -> Request:
    """Return what a request asks for.

    Raise RequestError if it is not HTTP/1, not a request for a page, or asks a name that is not
    ours. `allowed` is None for a Unix socket, which no browser reaches.
    """
    first, *fields = (line.removesuffix(b"\r") for line in head.split(b"\n"))
    line = _LINE.fullmatch(first)
    if line is None:
        raise RequestError(400, "this is not a request of HTTP/1.1")
    hosts = [
        value.strip()
        for name, _, value in (field.partition(b":") for field in fields)
        if name.lower() == b"host"
    ]
    # Only HTTP/1.0, which no browser speaks, may leave it out (RFC 9112, 3.2).
    if len(hosts) > 1 or (not hosts and line[3] == b"1"):
        raise RequestError(400, "a request of HTTP/1.1 has one Host header")
    if hosts and allowed is not None:
        allowed.check(hosts[0].decode("latin-1"))
    if line[1] not in (b"GET", b"HEAD"):
        raise RequestError(405, "the pages take GET and HEAD")
    path = line[2].partition(b"?")[0].decode("ascii")
    return Request(path, has_body=line[1] == b"GET")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
