"""Messages of RFC 5424: what their headers say, and how a record becomes one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from tracesidecar.errors import Rejected
from tracesidecar.model import Record, Severity
from tracesidecar.sinks.options import BatchLimits, SinkOptions
from tracesidecar.units import Seconds, Size

Format = Literal["raw", "event", "ecs", "ocsf", "cef", "leef"]
Facility = Literal[
    "user",
    "daemon",
    "auth",
    "authpriv",
    "audit",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
]

FACILITIES = {"user": 1, "daemon": 3, "auth": 4, "authpriv": 10, "audit": 13} | {
    f"local{number}": 16 + number for number in range(8)
}
SEVERITIES: dict[Severity, int] = {"informational": 6, "low": 5, "medium": 4}
ERROR = 3
"""The severity of an event that is an error; the others are info, notice and warning."""

MAX_MESSAGE = Size(8096)
"""What rsyslog takes when nobody has configured it (its 8k); over TCP it makes two messages of a
longer one.
"""
SMALLEST_MESSAGE = 480
"""What every receiver must take (6.1)."""
EVENT_ID_BYTES = 32
BOM = b"\xef\xbb\xbf"
_MOST = {"hostname": 255, "app_name": 48, "procid": 128, "sd_id": 32}
_LONGEST_MSGID = 32
_ESCAPES = dict.fromkeys((*range(32), 127), "\ufffd") | {
    ord(character): f"\\{character}" for character in '"\\]'
}


class MessageOptions(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What sinks that send syslog messages have in common.

    `max_message` counts the whole message, header included, without its framing. `procid` None is
    the process id. `sd_id` names the structured data; 32473 is the number that RFC 5612 sets aside
    for those who have none. `bom` marks the message as UTF-8.
    """

    host: str
    format: Format = "cef"
    batch: BatchLimits = msgspec.field(
        default_factory=lambda: BatchLimits(
            bytes=Size.parse("4MiB"),
            lines=10_000,
            age=Seconds.parse("5s"),
            idle=Seconds.parse("1s"),
        )
    )
    max_message: Size | None = None
    hostname: str | None = None
    app_name: str = "tracesidecar"
    procid: str | None = None
    facility: Facility = "user"
    sd_id: str = "tracesidecar@32473"
    bom: bool = True
    timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("60s"))
    connect_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))

    def __post_init__(self) -> None:
        if not self.host or self.host != self.host.strip() or "/" in self.host:
            raise ValueError("host is not the name or address of a server, alone")
        for key, most in _MOST.items():
            value = getattr(self, key)
            if value is not None and not _is_field(value, most):
                raise ValueError(
                    f"{key} is not 1 to {most} printable ASCII characters without blanks"
                )
        if set('="]') & set(self.sd_id):
            raise ValueError('sd_id must not have any of = " ]')
        if self.max_message is not None and self.max_message < SMALLEST_MESSAGE:
            raise ValueError(
                f"max_message is below {SMALLEST_MESSAGE}B, which every receiver takes"
            )


class Messages:
    """Makes messages of records. One message always fits `limit_bytes`."""

    def __init__(self, options: MessageOptions, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._facility = FACILITIES[options.facility] * 8
        procid = str(os.getpid()) if options.procid is None else options.procid
        self._origin = f"{options.hostname or _own_name()} {options.app_name} {procid}"
        self._sd_id = options.sd_id
        self._before_body = b" " + BOM if options.bom else b" "

    @property
    def record_limit_bytes(self) -> int:
        """The most bytes that the record may have within a message, whatever its kind."""
        header = f"<191>1 2026-01-01T00:00:00.000000Z {self._origin} {'x' * _LONGEST_MSGID} "
        return (
            self._limit
            - len(header)
            - len(self._structured(_parameter("event", "x" * EVENT_ID_BYTES)))
            - len(self._before_body)
        )

    def message(self, record: Record) -> bytes | None:
        """Make the message; None where the record is too long for one.

        The id of the event always stands in the structured data, the others (conversation, dialect,
        source, trace, span) as far as there is room.
        """
        level = ERROR if record.kind == "error" else SEVERITIES[record.severity]
        header = f"<{self._facility + level}>1 {record.time} {self._origin} {_field(record.kind, _LONGEST_MSGID)} ".encode()
        room = (
            self._limit
            - len(header)
            - len(self._structured(""))
            - len(self._before_body)
            - len(record.body)
        )
        parameters = ""
        for name, value in _identities(record):
            parameter = _parameter(name, value)
            if (room := room - len(parameter.encode())) < 0:
                if name == "event":
                    return None
                break
            parameters += parameter
        return b"".join(
            (header, self._structured(parameters).encode(), self._before_body, record.body)
        )

    def fitting(self, records: Sequence[Record]) -> tuple[list[bytes], tuple[int, ...]]:
        """Make the messages of a batch, in order; with them the indexes of records that are too
        long for one.
        """
        made = [self.message(record) for record in records]
        return [message for message in made if message is not None], tuple(
            index for index, message in enumerate(made) if message is None
        )

    def refuse(self, too_long: tuple[int, ...]) -> None:
        """Raise Rejected for these, once the others are there."""
        if too_long:
            raise Rejected(
                "too_large",
                f"{len(too_long)} records are longer than max_message ({self._limit} B)",
                records=too_long,
                stored=True,
            )

    def _structured(self, parameters: str) -> str:
        return f"[{self._sd_id}{parameters}]"


def _identities(record: Record) -> Iterator[tuple[str, str]]:
    named = (
        ("event", record.id),
        ("conversation", record.conversation),
        ("dialect", record.dialect),
        ("source", record.source),
    )
    yield from (
        (name, value)
        for name, value in (*named, ("trace", record.trace_id), ("span", record.span_id))
        if value
    )


def _parameter(name: str, value: str) -> str:
    """A parameter of structured data (6.3.3).

    A control character, at which receivers stumble, becomes U+FFFD, as does half a surrogate pair.
    """
    return f' {name}="{value.translate(_ESCAPES).encode(errors="replace").decode()}"'


@lru_cache(maxsize=64)
def _field(text: str, most: int) -> str:
    """A field of the header: printable ASCII; `-` says that there is none."""
    return (
        "".join(character if "!" <= character <= "~" else "_" for character in text[:most]) or "-"
    )


def _is_field(text: str, most: int) -> bool:
    return text != "" and _field(text, most) == text


def _own_name() -> str:
    return _field(socket.gethostname(), 255)
