"""Answer `status` over the Unix socket in the state directory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import structlog

from tracesidecar.introspect import status_socket
from tracesidecar.introspect.status import StatusReport
from tracesidecar.logs import frames

log = structlog.get_logger()

SEND_SECONDS = 5.0
PAUSE_SECONDS = 1.0


class StatusServer:
    """Reports the status of the service to each process that connects, one after the other.

    All of it runs in the event loop. `report` may raise: then the connection ends without an
    answer, and whoever asked reads the journal.
    """

    def __init__(self, state_directory: str, report: Callable[[], Awaitable[StatusReport]]) -> None:
        """Open the socket. If that is not possible, log it; `status` then reads the journal."""
        self._state_directory = state_directory
        self._report = report
        self._socket = self._open()

    async def run(self) -> None:
        """Answer until cancelled."""
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._socket)
            except OSError as error:  # the process has no descriptor left, for a while
                log.warning("status.failed", kind=type(error).__name__, problem=error.strerror)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            with client:
                await self._answer(client)

    def close(self) -> None:
        """Stop listening and remove the socket's file."""
        if self._socket is not None:
            self._socket.close()
            with suppress(OSError):  # it goes with the next start, which replaces it
                status_socket.remove(self._state_directory)

    def _open(self) -> socket.socket | None:
        try:
            return status_socket.listen(self._state_directory)
        except OSError as error:
            log.warning(
                "status.socket_unavailable",
                problem=error.strerror or str(error),
                remedy="the daemon goes on without it; status reads the journal instead",
            )
            return None

    async def _answer(self, client: socket.socket) -> None:
        client.setblocking(False)
        try:
            document = msgspec.json.encode(await self._report())
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.get_running_loop().sock_sendall(client, document)
        except OSError as error:  # also TimeoutError: whoever asked has gone, or does not read
            log.debug("status.not_sent", problem=str(error))
        except Exception as error:  # noqa: BLE001 - what goes wrong here must not stop what ships well
            log.warning(
                "status.failed",
                kind=type(error).__name__,
                where=frames(error),
            )
