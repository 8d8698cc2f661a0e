"""What a sink sends without encryption, and how far that goes."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from enum import Enum

_NEVER_PUBLIC = (
    ".corp",
    ".home",
    ".home.arpa",
    ".internal",
    ".intranet",
    ".lan",
    ".local",
    ".private",
    ".svc",
)
"""Ends of names that no public DNS has: of clusters and local networks (RFC 6762, G; RFC 8375)."""

_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}")
"""An address as inet_aton reads it: `127.1` and `2130706433` are 127.0.0.1."""


class Reach(Enum):
    """How far away a host is, as far as its name or address says."""

    THIS_MACHINE = "this machine"
    PRIVATE = "private"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class ClearText:
    """What goes to a host without encryption: credentials, or only records.

    `key` is the option that says so. The credentials are those in `variable` of the environment
    (for a proxy, say), if there is one. `named_by` says what names the host if no option does.
    """

    key: str
    host: str
    has_credentials: bool
    variable: str | None = None
    named_by: str | None = None


def reach_of(host: str) -> Reach:
    """Return how far away a host is. No name is resolved: a public one counts as public.

    An empty host and a path stand for a Unix socket.
    """
    name = host.strip("[]").partition("%")[0].rstrip(".").lower()
    if not name or name.startswith("/"):
        return Reach.THIS_MACHINE
    if (address := read_address(name)) is not None:
        return _reach_of_address(address)
    if name == "localhost" or name.endswith(".localhost") or name == socket.gethostname().lower():
        return Reach.THIS_MACHINE
    return Reach.PRIVATE if "." not in name or name.endswith(_NEVER_PUBLIC) else Reach.PUBLIC


def read_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is written as; None for a name."""
    try:
        if _NUMBER.fullmatch(host):
            return ipaddress.IPv4Address(socket.inet_aton(host))
        address = ipaddress.ip_address(host)
    except (OSError, ValueError):
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _reach_of_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Reach:
    if address.is_loopback or address.is_unspecified:
        return Reach.THIS_MACHINE
    return Reach.PUBLIC if address.is_global else Reach.PRIVATE
