"""The two ways to a syslog server: one connection for all messages, or a datagram for each."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol

from tracesidecar.sinks.syslog.options import Options
from tracesidecar.sinks.transport import Connection, Dialer, TlsOptions, open_socket

_BLOCK_BYTES = 256 << 10
_POLL_SECONDS = 0.005
_BURST = 100
"""How many datagrams are sent without a pause.

So many fit into the receive buffer that Linux gives a socket by default (212,992 bytes), as long
as none is longer than an Ethernet frame.
"""
_PAUSE_SECONDS = 0.01


class SyslogClient(Protocol):
    """Sends messages to one server. `send` raises RetryLater if the server may not have them."""

    async def open(self) -> None:
        """Connect; raise RetryLater if that is not possible now."""
        ...

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send the messages of one batch."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class StreamClient:
    """Sends messages over TLS or TCP, on one connection that is kept from batch to batch.

    A batch that fails starts again on a new connection, so that the server never sees half a
    message followed by another one.
    """

    def __init__(self, options: Options) -> None:
        tls = (options.tls or TlsOptions()) if options.transport == "tls" else None
        self._dialer = Dialer(
            options.host, options.effective_port, tls, timeout_seconds=options.connect_timeout
        )
        self._settle, self._timeout = options.settle, options.timeout
        self._connection: Connection | None = None

    async def open(self) -> None:
        """Connect; raise RetryLater if the server closes the connection at once."""
        self._dialer.warn_if_unverified()
        self._connection = await self._connect()

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send the messages; return when the server's kernel has acknowledged all of them.

        The server must then keep the connection open for the `settle` time.

        A server that rejects a message, or is stopped, closes the connection; what its kernel had
        acknowledged by then may be lost.
        """
        connection = await self._connect()
        self._connection = None
        with self._close_on_failure(connection):
            for block in _frame(messages):
                async with asyncio.timeout(self._timeout):
                    await connection.send(block)
            await self._wait_for_acknowledgement(connection)
            await connection.watch(self._settle)
        self._connection = connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connect(self) -> Connection:
        """Return the connection of the last batch, or a new one if the server has closed it.

        A new one counts once the server has kept it open for the `settle` time.
        """
        if self._connection is not None and not await self._connection.is_closed():
            return self._connection
        self.close()
        connection = await self._dialer.connect()
        with self._close_on_failure(connection):
            await connection.watch(self._settle)
        return connection

    @contextmanager
    def _close_on_failure(self, connection: Connection) -> Iterator[None]:
        try:
            with ExitStack() as on_failure:
                on_failure.callback(connection.close)
                yield
                on_failure.pop_all()
        except OSError as error:
            raise self._dialer.explain(error) from error

    async def _wait_for_acknowledgement(self, connection: Connection) -> None:
        """Wait until the server's kernel has everything.

        Raise TimeoutError if it takes nothing for the whole `timeout`.
        """
        unacknowledged = connection.count_unacknowledged_bytes()
        while unacknowledged:
            async with asyncio.timeout(self._timeout):
                while (now := connection.count_unacknowledged_bytes()) >= unacknowledged:
                    await connection.watch(_POLL_SECONDS)
            unacknowledged = now


class DatagramClient:
    """Sends messages over UDP.

    The socket is connected, so that an ICMP "port unreachable" is reported as an error. A datagram
    that is lost on the way, or dropped by a full receive buffer, is not reported by anything.
    """

    def __init__(self, options: Options) -> None:
        self._host, self._port = options.host, options.effective_port
        self._timeout = options.connect_timeout
        self._dialer = Dialer(self._host, self._port, None, timeout_seconds=self._timeout)
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Resolve the host's name and make the socket."""
        self._socket = await self._open_socket()

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send every message as a datagram of its own, with a pause after each burst."""
        loop = asyncio.get_running_loop()
        datagrams = self._socket = self._socket or await self._open_socket()
        try:
            for number, message in enumerate(messages):
                if number and number % _BURST == 0:
                    await asyncio.sleep(_PAUSE_SECONDS)
                await loop.sock_sendall(datagrams, message)
        except OSError as error:
            self.close()
            raise self._dialer.explain(error) from error

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _open_socket(self) -> socket.socket:
        try:
            async with asyncio.timeout(self._timeout):
                return await open_socket(self._host, self._port, socket.SOCK_DGRAM)
        except OSError as error:
            raise self._dialer.explain(error) from error


def _frame(messages: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the messages with octet counting (RFC 6587, 3.4.1), in blocks of many messages."""
    block = bytearray()
    for message in messages:
        block += b"%d %b" % (len(message), message)
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)
