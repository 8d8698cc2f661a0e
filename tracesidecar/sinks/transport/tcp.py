"""A TCP connection, plain or with TLS, that buffers nothing itself.

What was sent is in the kernel, which can be asked how much of it the peer has not acknowledged.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import ssl
import struct
import termios
from contextlib import ExitStack, suppress

from tracesidecar.errors import RetryLater
from tracesidecar.sinks.transport.tls import (
    ClientContext,
    TlsOptions,
    tls_advice,
    tls_failure,
    warn_if_unverified,
)

BLOCK_BYTES = 64 << 10
"""The most that is encrypted and given to the kernel at once, and read at once."""

_CERTIFICATE_ALERTS = (
    "certificate required",
    "bad certificate",
    "unknown ca",
    "certificate unknown",
    "certificate expired",
    "certificate revoked",
    "access denied",
)
"""Alerts by which a server rejects the client's certificate (RFC 8446, 6.2).

OpenSSL writes them at the end of its message, after `alert`.
"""


class Dialer:
    """Opens connections to one address. `where` names the address in errors."""

    def __init__(
        self, host: str, port: int, tls: TlsOptions | None, *, timeout_seconds: float
    ) -> None:
        """`timeout_seconds` covers name resolution, connection and TLS handshake together."""
        self.where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host, self._port, self._tls = host, port, tls
        self._context = None if tls is None else ClientContext(tls)
        self._timeout = timeout_seconds

    def warn_if_unverified(self) -> None:
        """Log a warning if the server's certificate is not verified."""
        warn_if_unverified(self._tls, self.where)

    async def connect(self) -> Connection:
        """Open a connection; raise RetryLater if that is not possible now."""
        context = None if self._context is None else await self._context.load()
        try:
            async with asyncio.timeout(self._timeout):
                connection = Connection(
                    await open_socket(self._host, self._port, socket.SOCK_STREAM)
                )
                with ExitStack() as on_failure:
                    on_failure.callback(connection.close)
                    if context is not None and self._tls is not None:
                        await connection.encrypt(context, self._tls.server_hostname or self._host)
                    on_failure.pop_all()
                return connection
        except OSError as error:
            raise self.explain(error) from error

    def explain(self, error: OSError) -> RetryLater:
        """Return the error to raise for a failure of a connection, with what to do about it."""
        if isinstance(error, TimeoutError):
            return RetryLater(
                "timeout",
                f"{self.where} made no progress in time; it may have received what was sent",
            )
        if isinstance(error, socket.gaierror):
            return RetryLater(
                "dns",
                f"the name of {self.where} could not be resolved; check host and the resolver",
            )
        if (failure := tls_failure(error)) is not None:
            if "alert" in failure and failure.endswith(_CERTIFICATE_ALERTS):
                return RetryLater(
                    "credentials",
                    f"{self.where} rejects our certificate ({failure}); "
                    "check tls.cert_file and tls.key_file",
                )
            return RetryLater(
                "tls", f"TLS with {self.where} failed: {failure}; {tls_advice(failure)}"
            )
        if isinstance(error, (ConnectionResetError, BrokenPipeError)) and self._tls is not None:
            # With TLS 1.3 a server checks the client's certificate after the handshake has ended
            # here, and its alert may be overtaken by the reset that follows it.
            return RetryLater(
                "closed",
                f"{self.where} closed the connection; if it always does, "
                "check there whether it accepts our credentials (tls.cert_file)",
            )
        cause = os.strerror(error.errno) if error.errno else type(error).__name__
        return RetryLater(
            "network",
            f"the connection to {self.where} failed: {cause}; "
            "check host, port and the network between",
        )


async def open_socket(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a non-blocking socket to the first address of the host that can be reached."""
    loop = asyncio.get_running_loop()
    failure: OSError = socket.gaierror("no address")
    try:
        found = await loop.getaddrinfo(host, port, type=kind)
    except UnicodeError as error:  # a label of more than 63 characters, or none between two dots
        raise socket.gaierror("no name of a host") from error
    for family, type_, protocol, _, address in found:
        opened = socket.socket(family, type_, protocol)
        try:
            opened.setblocking(False)
            await loop.sock_connect(opened, address)
            return opened
        except OSError as error:
            opened.close()
            failure = error
        except BaseException:
            opened.close()
            raise
    raise failure


def make_closed_by_server_error() -> ConnectionResetError:
    """Make the error for a connection that the server has closed in an orderly way."""
    return ConnectionResetError(errno.ECONNRESET, "the server closed it")


class Connection:
    """One connection, for one task. After a failed or cancelled call it can only be closed."""

    def __init__(self, connected_socket: socket.socket) -> None:
        self._socket = connected_socket
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    async def encrypt(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Make the TLS handshake; with TLS 1.3 the server may reject our certificate after it."""
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname
        )
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        """Return when the kernel has taken all of it."""
        if self._tls is None:
            await self._loop.sock_sendall(self._socket, data)
            return
        view = memoryview(data)
        try:
            for start in range(0, len(view), BLOCK_BYTES):
                self._tls.write(view[start : start + BLOCK_BYTES])
                await self._flush()
        except ConnectionError:
            with suppress(ConnectionError):
                # An alert that has arrived in the meantime gives the reason, and is raised instead.
                await self.watch(0.0)
            raise

    async def receive(self) -> bytes:
        """Wait for the next bytes from the peer; return none once it has closed the connection."""
        if self._tls is None:
            return await self._loop.sock_recv(self._socket, BLOCK_BYTES)
        while True:
            try:
                return self._tls.read(BLOCK_BYTES)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def receive_within(self, seconds: float) -> bytes | None:
        """Like `receive`, but return None if nothing arrives in that time.

        With 0 seconds, return what has already arrived.
        """
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self.receive()
        except TimeoutError:
            if limit.expired():
                return None
            raise  # ETIMEDOUT: the connection itself timed out

    async def watch(self, seconds: float) -> None:
        """Return after that time.

        Raise ConnectionResetError as soon as the peer closes the connection. Anything the
        peer sends is ignored.
        """
        until = self._loop.time() + seconds
        while (data := await self.receive_within(max(0.0, until - self._loop.time()))) is not None:
            if not data:
                raise make_closed_by_server_error()

    async def is_closed(self) -> bool:
        """Return whether the peer has closed the connection while it was idle.

        Anything the peer has sent is ignored.
        """
        try:
            await self.watch(0.0)
        except OSError:
            return True
        return False

    def count_unacknowledged_bytes(self) -> int:
        """Return how many bytes the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)).

        This includes bytes that are not sent yet.
        """
        return int(struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))[0])

    def close(self) -> None:
        """Close the connection, with a TLS close_notify if the socket has room for it."""
        if self._tls is not None:
            # SSLWantReadError: we do not wait for the peer's close_notify.
            # Any other OSError: the connection has already failed.
            with suppress(OSError):
                self._tls.unwrap()
            with suppress(OSError):
                self._socket.send(self._outgoing.read())
        self._socket.close()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._loop.sock_sendall(self._socket, data)

    async def _fill(self) -> None:
        if data := await self._loop.sock_recv(self._socket, BLOCK_BYTES):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
