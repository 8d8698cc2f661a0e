"""The syslog sink: RFC 5424 messages over TLS (RFC 5425), TCP with octet counting (RFC 6587) or UDP
(RFC 5426).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Literal, Protocol, Self, cast

import msgspec

from tracesidecar.model import Batch
from tracesidecar.sinks.sink import Promise, SinkType
from tracesidecar.sinks.syslog.message import MAX_MESSAGE, MessageOptions, Messages
from tracesidecar.sinks.transport.tcp import Connection, Dialer, connected
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Size

MAX_DATAGRAM = Size(1432)
"""What fits a frame of Ethernet with IPv6 and an option; a longer datagram is sent in fragments."""
LARGEST_DATAGRAM = 65_507
_PORTS = {"udp": 514, "tcp": 514, "tls": 6514}
_PIECE_BYTES = 256 << 10
_POLL_SECONDS = 0.005
_BURST = 100
"""So many datagrams fit what Linux gives a receiver for its buffer if nobody raises it, whatever
their size below `MAX_DATAGRAM`.
"""
_PAUSE_SECONDS = 0.01


class Options(MessageOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `syslog`.

    `settle` is how long the server must stay silent after it has acknowledged everything. `timeout`
    is for each step to be got on with, not for a whole batch.
    """

    transport: Literal["tls", "tcp", "udp"] = "tls"
    port: int | None = None
    tls: TlsOptions | None = None
    settle: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("200ms"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tls is not None and self.transport != "tls":
            raise ValueError(f'tls is given, but transport is "{self.transport}"')
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError("port is not between 1 and 65535")
        if self.transport == "udp" and (self.max_message or 0) > LARGEST_DATAGRAM:
            raise ValueError(f"max_message is over {LARGEST_DATAGRAM}B, the longest datagram")


def build(options: Options) -> SyslogSink:
    """Make the sink; it connects on entry."""
    return SyslogSink(options)


def destination(options: Options) -> str:
    """Name transport and address."""
    return f"syslog:{options.transport}://{options.host}:{_port(options)}"


def promise(options: Options) -> Promise:
    """A datagram is gone once it is sent; a stream is acknowledged by the server's kernel."""
    return "none" if options.transport == "udp" else "kernel-acknowledged"


def record_limit(options: Options) -> int:
    """What `max_message` leaves for the record."""
    return _messages(options).record_limit_bytes


class SyslogSink:
    """Delivers to the server's kernel.

    What the server then loses before it has written it is lost: nothing in syslog tells.
    """

    def __init__(self, options: Options) -> None:
        self._messages = _messages(options)
        self._way: _Way = _Datagrams(options) if options.transport == "udp" else _Stream(options)

    async def __aenter__(self) -> Self:
        await self._way.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._way.close()

    async def send(self, batch: Batch) -> None:
        """Send all messages in order."""
        messages, too_long = await asyncio.to_thread(self._messages.fitting, batch.records)
        await self._way.send(messages)
        self._messages.refuse(too_long)


class _Way(Protocol):
    async def open(self) -> None: ...

    async def send(self, messages: Sequence[bytes]) -> None: ...

    def close(self) -> None: ...


class _Stream:
    """One connection, kept from batch to batch.

    A batch that fails starts again on a new one, from the boundary of a frame.
    """

    def __init__(self, options: Options) -> None:
        tls = (options.tls or TlsOptions()) if options.transport == "tls" else None
        self._dialer = Dialer(
            options.host, _port(options), tls, timeout_seconds=options.connect_timeout
        )
        self._settle, self._timeout = options.settle, options.timeout
        self._connection: Connection | None = None

    async def open(self) -> None:
        self._dialer.warn()
        self._connection = await self._connected()

    async def send(self, messages: Sequence[bytes]) -> None:
        connection = await self._connected()
        self._connection = None
        with self._closing_on_failure(connection):
            for piece in _pieces(messages):
                async with asyncio.timeout(self._timeout):
                    await connection.send(piece)
            await self._acknowledged(connection)
            await connection.watch(self._settle)
        self._connection = connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connected(self) -> Connection:
        """The connection of before, if the server has not closed it; else a new one, once it is
        clear that the server keeps it.
        """
        if self._connection is not None and not await self._connection.is_closed():
            return self._connection
        self.close()
        connection = await self._dialer.connect()
        with self._closing_on_failure(connection):
            await connection.watch(self._settle)
        return connection

    @contextmanager
    def _closing_on_failure(self, connection: Connection) -> Iterator[None]:
        try:
            with ExitStack() as on_failure:
                on_failure.callback(connection.close)
                yield
                on_failure.pop_all()
        except OSError as error:
            raise self._dialer.failure(error) from error

    async def _acknowledged(self, connection: Connection) -> None:
        """Wait until the server's kernel has everything; raise TimeoutError when it takes nothing
        for so long.
        """
        left = connection.unacknowledged_bytes()
        while left:
            async with asyncio.timeout(self._timeout):
                while (now_left := connection.unacknowledged_bytes()) >= left:
                    await connection.watch(_POLL_SECONDS)
            left = now_left


class _Datagrams:
    """A socket that hears when nobody listens, as far as the network says so."""

    def __init__(self, options: Options) -> None:
        self._host, self._port, self._timeout = (
            options.host,
            _port(options),
            options.connect_timeout,
        )
        self._dialer = Dialer(options.host, self._port, None, timeout_seconds=self._timeout)
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                self._socket = await connected(self._host, self._port, socket.SOCK_DGRAM)
        except OSError as error:
            raise self._dialer.failure(error) from error

    async def send(self, messages: Sequence[bytes]) -> None:
        if self._socket is None:
            await self.open()
        loop, datagrams = asyncio.get_running_loop(), cast("socket.socket", self._socket)
        try:
            for number, message in enumerate(messages):
                if number and number % _BURST == 0:
                    await asyncio.sleep(_PAUSE_SECONDS)
                await loop.sock_sendall(datagrams, message)
        except OSError as error:
            self.close()
            raise self._dialer.failure(error) from error

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _pieces(messages: Sequence[bytes]) -> Iterator[bytes]:
    """Frames of RFC 6587, 3.4.1, some at a time."""
    piece = bytearray()
    for message in messages:
        piece += b"%d %b" % (len(message), message)
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _messages(options: Options) -> Messages:
    return Messages(
        options,
        options.max_message or (MAX_DATAGRAM if options.transport == "udp" else MAX_MESSAGE),
    )


def _port(options: Options) -> int:
    return options.port or _PORTS[options.transport]


SINK_TYPE = SinkType(
    name="syslog",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="kernel-acknowledged",
    promise_of=promise,
    record_limit_of=record_limit,
)
