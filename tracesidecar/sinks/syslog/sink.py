"""The syslog sink.

It sends RFC 5424 messages over TLS (RFC 5425), TCP with octet counting (RFC 6587) or UDP
(RFC 5426).
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tracesidecar.model import Batch
from tracesidecar.sinks.sink import Promise, SinkType
from tracesidecar.sinks.syslog.client import DatagramClient, StreamClient, SyslogClient
from tracesidecar.sinks.syslog.options import Options
from tracesidecar.sinks.transport import DEFAULT_MESSAGE_LIMIT, SyslogFormatter

DEFAULT_DATAGRAM_BYTES = 1432
"""What fits into an Ethernet frame with IPv6 and an extension header; a longer datagram is sent in
fragments, and lost if any of them is.
"""


def build(options: Options) -> SyslogSink:
    """Make the sink; it connects on entry."""
    return SyslogSink(options)


def destination(options: Options) -> str:
    """Name the transport and the server's address."""
    return f"syslog:{options.transport}://{options.host}:{options.effective_port}"


def promise(options: Options) -> Promise:
    """Return the promise: the server's kernel acknowledges a stream, nobody a datagram."""
    return "none" if options.transport == "udp" else "kernel-acknowledged"


def record_limit(options: Options) -> int:
    """Return what `max_message` leaves for a record."""
    return _formatter(options).record_limit_bytes


class SyslogSink:
    """Delivers to the server's kernel, because syslog has no acknowledgement of its own.

    What the server loses before it has written it is lost without notice. RELP has
    acknowledgements.
    """

    def __init__(self, options: Options) -> None:
        self._formatter = _formatter(options)
        self._client: SyslogClient = (
            DatagramClient(options) if options.transport == "udp" else StreamClient(options)
        )

    async def __aenter__(self) -> Self:
        await self._client.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    async def send(self, batch: Batch) -> None:
        """Send all messages in order."""
        messages, too_long = await asyncio.to_thread(self._formatter.format_batch, batch.records)
        await self._client.send(messages)
        self._formatter.raise_for_too_long(too_long)


def _formatter(options: Options) -> SyslogFormatter:
    default = DEFAULT_DATAGRAM_BYTES if options.transport == "udp" else DEFAULT_MESSAGE_LIMIT
    return SyslogFormatter(options, options.max_message or default)


SINK_TYPE = SinkType(
    name="syslog",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="kernel-acknowledged",
    promise_of=promise,
    record_limit_of=record_limit,
    takes_text=True,
)
