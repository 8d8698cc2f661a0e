"""Syslog messages (RFC 5424): the options of their headers, and how a record becomes one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, get_args

import msgspec

from tracesidecar.encode import replace_control_characters
from tracesidecar.errors import Rejected
from tracesidecar.model import Record, Severity
from tracesidecar.sinks.options import BatchLimits, SinkOptions
from tracesidecar.sinks.transport.request_splitter import record_batches
from tracesidecar.units import Seconds, Size

SyslogFormat = Literal["raw", "event", "ecs", "ocsf", "cef", "leef"]
SyslogFacility = Literal[
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

FACILITIES: dict[SyslogFacility, int] = dict(
    zip(get_args(SyslogFacility), (1, 3, 4, 10, 13, *range(16, 24)), strict=True)
)
"""The numbers of the facilities (RFC 5424, 6.2.1)."""

SEVERITIES: dict[Severity, int] = {"informational": 6, "low": 5, "medium": 4}
ERROR = 3
"""The severity of an event that is an error; the others are info, notice and warning."""

DEFAULT_MESSAGE_LIMIT = Size(8096)
"""What rsyslog accepts by default (its `8k`).

Over TCP it makes two messages of a longer one, and the second has no header.
"""
SMALLEST_MESSAGE_LIMIT = 480
"""The length that every receiver must accept (RFC 5424, 6.1)."""
EVENT_ID_BYTES = 32
BOM = b"\xef\xbb\xbf"
_HEADER_LIMITS = {"hostname": 255, "app_name": 48, "procid": 128, "sd_id": 32}
_MSGID_LIMIT = 32
_ESCAPES = {ord(character): f"\\{character}" for character in '"\\]'}


class SyslogMessageOptions(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The options of every sink that sends syslog messages.

    `max_message` counts the whole message with its header, but not its framing. A `procid` of None
    means this process's id. `sd_id` names the structured data; 32473 is the enterprise number that
    RFC 5612 reserves for those who have none. `bom` marks the message as UTF-8.
    """

    host: str
    format: SyslogFormat = "cef"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)
    max_message: Size | None = None
    hostname: str | None = None
    app_name: str = "tracesidecar"
    procid: str | None = None
    facility: SyslogFacility = "user"
    sd_id: str = "tracesidecar@32473"
    bom: bool = True
    timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("60s"))
    connect_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))

    def __post_init__(self) -> None:
        if not self.host or self.host != self.host.strip() or "/" in self.host:
            raise ValueError("host is not the name or address of a server, alone")
        for key, limit in _HEADER_LIMITS.items():
            value = getattr(self, key)
            if value is not None and not _is_header_field(value, limit):
                raise ValueError(
                    f"{key} is not 1 to {limit} printable ASCII characters without blanks"
                )
        if set('="]') & set(self.sd_id):
            raise ValueError('sd_id must not contain any of = " ]')
        if self.max_message is not None and self.max_message < SMALLEST_MESSAGE_LIMIT:
            raise ValueError(
                f"max_message is below {SMALLEST_MESSAGE_LIMIT}B, which every receiver accepts"
            )


class SyslogFormatter:
    """Makes messages of records. No message is longer than `limit_bytes`."""

    def __init__(self, options: SyslogMessageOptions, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._facility = FACILITIES[options.facility] * 8
        procid = str(os.getpid()) if options.procid is None else options.procid
        self._origin = f"{options.hostname or _local_hostname()} {options.app_name} {procid}"
        self._sd_id = options.sd_id
        self._before_body = b" " + BOM if options.bom else b" "

    @property
    def record_limit_bytes(self) -> int:
        """The longest record that fits into a message, whatever its kind."""
        header = f"<191>1 2026-01-01T00:00:00.000000Z {self._origin} {'x' * _MSGID_LIMIT} "
        return (
            self._limit
            - len(header)
            - len(self._build_structured_data(_parameter("event", "x" * EVENT_ID_BYTES)))
            - len(self._before_body)
        )

    def format(self, record: Record) -> bytes | None:
        """Return the record as a message, None if it is too long for one.

        The structured data always holds the event's id, and the other identifiers (conversation,
        dialect, source, trace, span) as far as there is room.
        """
        severity = ERROR if record.kind == "error" else SEVERITIES[record.severity]
        msgid = _header_field(record.kind, _MSGID_LIMIT)
        header = f"<{self._facility + severity}>1 {record.time} {self._origin} {msgid} ".encode()
        room = (
            self._limit
            - len(header)
            - len(self._build_structured_data(""))
            - len(self._before_body)
            - len(record.body)
        )
        parameters = ""
        for name, value in _identifiers(record):
            parameter = _parameter(name, value)
            if (room := room - len(parameter.encode())) < 0:
                if name == "event":
                    return None
                break
            parameters += parameter
        return b"".join(
            (
                header,
                self._build_structured_data(parameters).encode(),
                self._before_body,
                record.body,
            )
        )

    def format_batch(self, records: Sequence[Record]) -> tuple[list[bytes], tuple[int, ...]]:
        """Return the messages of a batch in order, and the indexes of records that are too long."""
        messages = [self.format(record) for record in records]
        return [message for message in messages if message is not None], tuple(
            index for index, message in enumerate(messages) if message is None
        )

    def raise_for_too_long(self, too_long: tuple[int, ...]) -> None:
        """Raise Rejected for these records, if there are any; the others must be delivered."""
        if too_long:
            raise Rejected(
                "too_large",
                f"{len(too_long)} records do not fit into max_message ({self._limit} B)",
                records=too_long,
                stored=True,
            )

    def _build_structured_data(self, parameters: str) -> str:
        return f"[{self._sd_id}{parameters}]"


def _identifiers(record: Record) -> Iterator[tuple[str, str]]:
    identifiers = (
        ("event", record.id),
        ("conversation", record.conversation),
        ("dialect", record.dialect),
        ("source", record.source),
        ("trace", record.trace_id),
        ("span", record.span_id),
    )
    yield from ((name, value) for name, value in identifiers if value)


def _parameter(name: str, value: str) -> str:
    """Return a parameter of structured data (RFC 5424, 6.3.3).

    Control characters, which break parsers of receivers, become U+FFFD. Half a surrogate pair,
    which has no UTF-8, becomes `?`.
    """
    text = replace_control_characters(value.translate(_ESCAPES))
    return f' {name}="{text.encode(errors="replace").decode()}"'


@lru_cache(maxsize=64)
def _header_field(text: str, limit: int) -> str:
    """Return a text as a field of the header: printable ASCII, or `-` for nothing."""
    return (
        "".join(character if "!" <= character <= "~" else "_" for character in text[:limit]) or "-"
    )


def _is_header_field(text: str, limit: int) -> bool:
    return text != "" and _header_field(text, limit) == text


def _local_hostname() -> str:
    return _header_field(socket.gethostname(), 255)
