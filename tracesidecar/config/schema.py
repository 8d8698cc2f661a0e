"""The whole configuration as one frozen value. Each package owns the options it uses."""

from __future__ import annotations

import re

import msgspec

from tracesidecar.sanitize import RedactionOptions
from tracesidecar.sinks import SinkOptions
from tracesidecar.tail import SourceOptions
from tracesidecar.units import Seconds, Size

_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


class DaemonOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[daemon]` block.

    `listen` is `host:port`, `unix:PATH` or empty (off); `allowed_hosts` are further names under
    which the health pages answer. `memory_limit` bounds the buffers.
    """

    drain_deadline: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("25s"))
    memory_limit: Size = msgspec.field(default_factory=lambda: Size.parse("48MiB"))
    listen: str = "127.0.0.1:9464"
    allowed_hosts: tuple[str, ...] = ()
    poll_interval: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("1s"))
    held_limit: Size = msgspec.field(default_factory=lambda: Size.parse("10GiB"))

    def __post_init__(self) -> None:
        if self.poll_interval < 0.05:
            raise ValueError('poll_interval must be at least "50ms"')
        if self.memory_limit < 4 << 20:
            raise ValueError('memory_limit must be at least "4MiB"')
        if not (
            self.listen == "" or self.listen.startswith("unix:") or _is_host_and_port(self.listen)
        ):
            raise ValueError('listen must be "host:port", "unix:PATH" or "" (off)')
        for host in self.allowed_hosts:
            if not _HOST_NAME.fullmatch(host):
                raise ValueError("allowed_hosts takes names of hosts, without a port")


class QuarantineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[quarantine]` block.

    `seal_to` is an age public key: rejected bytes are kept, encrypted to it.
    """

    seal_to: str | None = None


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a run depends on. Each element of `sink` is the Options of its type."""

    state_directory: str
    daemon: DaemonOptions = msgspec.field(default_factory=DaemonOptions)
    source: tuple[SourceOptions, ...]
    redaction: RedactionOptions = msgspec.field(default_factory=RedactionOptions)
    quarantine: QuarantineOptions = msgspec.field(default_factory=QuarantineOptions)
    sink: tuple[SinkOptions, ...]


def _is_host_and_port(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and int(port) < 65536
