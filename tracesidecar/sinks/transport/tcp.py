"""A TCP connection, plain or in TLS, without buffers of its own: what was sent is with the kernel,
and what that still holds can be asked.
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

import structlog

from tracesidecar.errors import RetryLater
from tracesidecar.sinks.transport.tls import ClientContext, TlsOptions, what_to_mend, why_it_failed

log = structlog.get_logger(__name__)

PIECE_BYTES = 64 << 10
"""The most that is encrypted and handed over at once."""

_ALERTS_ABOUT_US = (
    "certificate required",
    "bad certificate",
    "unknown ca",
    "certificate unknown",
    "certificate expired",
    "certificate revoked",
    "access denied",
)
"""What a server says in TLS (RFC 8446, 6.2) of a client's certificate; OpenSSL writes it into the
reason, after `alert`.
"""


class Dialer:
    """Makes connections to one address. `where` names it in errors."""

    def __init__(
        self, host: str, port: int, tls: TlsOptions | None, *, timeout_seconds: float
    ) -> None:
        """`timeout_seconds` is for name, connection and TLS handshake."""
        self.where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host, self._port, self._tls = host, port, tls
        self._context = None if tls is None else ClientContext(tls)
        self._timeout = timeout_seconds

    def warn(self) -> None:
        """Say so in the log when the server's certificate is not verified."""
        if self._tls is not None and not self._tls.verify:
            log.warning(
                "sink.tls_unverified",
                meaning="anyone on the way can read and answer; set tls.verify",
            )

    async def connect(self) -> Connection:
        """Raise RetryLater while there is no way."""
        context = await self._current_context()
        try:
            async with asyncio.timeout(self._timeout):
                connection = Connection(await connected(self._host, self._port, socket.SOCK_STREAM))
                with ExitStack() as on_failure:
                    on_failure.callback(connection.close)
                    if context is not None and self._tls is not None:
                        await connection.encrypt(context, self._tls.server_hostname or self._host)
                    on_failure.pop_all()
                return connection
        except OSError as error:
            raise self.failure(error) from error

    async def _current_context(self) -> ssl.SSLContext | None:
        if self._context is None:
            return None
        try:
            return await asyncio.to_thread(self._context.current)
        except OSError as error:
            file = f" {error.filename}" if error.filename else ""
            raise RetryLater(
                "tls",
                f"a file of tls{file} cannot be used: {error.strerror}; mend ca_file, cert_file, key_file",
            ) from error

    def failure(self, error: OSError) -> RetryLater:
        """Name what went wrong, and what to mend."""
        if isinstance(error, TimeoutError):
            return RetryLater(
                "timeout", f"{self.where} did not get on in time; it may have what was sent"
            )
        if isinstance(error, socket.gaierror):
            return RetryLater(
                "dns",
                f"the name of {self.where} could not be resolved; check host and the resolver",
            )
        if (reason := why_it_failed(error)) is not None:
            if any(reason.endswith(alert) and "alert" in reason for alert in _ALERTS_ABOUT_US):
                return RetryLater(
                    "credentials",
                    f"{self.where} refuses our certificate ({reason}): mend tls.cert_file and tls.key_file",
                )
            return RetryLater(
                "tls", f"TLS with {self.where} failed: {reason}; {what_to_mend(reason)}"
            )
        if isinstance(error, (ConnectionResetError, BrokenPipeError)) and self._tls is not None:
            return RetryLater(
                "closed",
                f"{self.where} closed the connection; if it always does, look there whether it permits our credentials (tls.cert_file)",
            )
        said = os.strerror(error.errno) if error.errno else type(error).__name__
        return RetryLater(
            "network",
            f"the connection to {self.where} failed: {said}; check host and port, and what is between",
        )


async def connected(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a non-blocking socket to the first of the host's addresses that can be reached."""
    loop = asyncio.get_running_loop()
    problem: OSError = socket.gaierror("no address")
    for family, type_, protocol, _, address in await loop.getaddrinfo(host, port, type=kind):
        made = socket.socket(family, type_, protocol)
        try:
            made.setblocking(False)
            await loop.sock_connect(made, address)
            return made
        except OSError as error:
            made.close()
            problem = error
        except BaseException:
            made.close()
            raise
    raise problem


def closed() -> ConnectionResetError:
    """Make the error of a connection that the peer has ended in good order."""
    return ConnectionResetError(errno.ECONNRESET, "the server closed it")


class Connection:
    """One connection, for one task. After a cancelled or failed call it can only be closed."""

    def __init__(self, connected_socket: socket.socket) -> None:
        self._socket = connected_socket
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    async def encrypt(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Shake hands. Over TLS 1.3 the server may still refuse our certificate after that."""
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
        """Return when the kernel has all of it."""
        if self._tls is None:
            await self._loop.sock_sendall(self._socket, data)
            return
        view = memoryview(data)
        try:
            for start in range(0, len(view), PIECE_BYTES):
                self._tls.write(view[start : start + PIECE_BYTES])
                await self._flush()
        except ConnectionError:
            with suppress(ConnectionError):
                await self.watch(0.0)  # an alert that has come meanwhile says why
            raise

    async def receive(self) -> bytes:
        """Wait for what the peer says next; empty when it has closed the connection."""
        if self._tls is None:
            return await self._loop.sock_recv(self._socket, PIECE_BYTES)
        while True:
            try:
                return self._tls.read(PIECE_BYTES)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def receive_within(self, seconds: float) -> bytes | None:
        """The same, but None when the peer says nothing for so long; with 0 only what is there
        already.
        """
        try:
            async with asyncio.timeout(seconds) as patience:
                return await self.receive()
        except TimeoutError:
            if patience.expired():
                return None
            raise  # of the connection: ETIMEDOUT

    async def watch(self, seconds: float) -> None:
        """Return after so long; raise ConnectionResetError as soon as the peer closes the
        connection. What it says is passed over.
        """
        until = self._loop.time() + seconds
        while (said := await self.receive_within(max(0.0, until - self._loop.time()))) is not None:
            if not said:
                raise closed()

    async def is_closed(self) -> bool:
        """Tell whether the peer has closed the connection while nobody listened.

        What it said is passed over.
        """
        try:
            await self.watch(0.0)
        except OSError:
            return True
        return False

    def unacknowledged_bytes(self) -> int:
        """How much the peer's kernel has not acknowledged, not yet sent included (SIOCOUTQ,
        tcp(7)).
        """
        return int(struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))[0])

    def close(self) -> None:
        """Close it; over TLS with a word to the peer, if there is room for it."""
        if self._tls is not None:
            with suppress(
                OSError
            ):  # WantRead: the peer's answer is not waited for; else there is nobody to tell
                self._tls.unwrap()
            with suppress(OSError):
                self._socket.send(self._outgoing.read())
        self._socket.close()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._loop.sock_sendall(self._socket, data)

    async def _fill(self) -> None:
        if data := await self._loop.sock_recv(self._socket, PIECE_BYTES):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
