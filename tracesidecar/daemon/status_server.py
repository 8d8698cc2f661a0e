"""Answer `status` over the Unix socket in the state directory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from tracesidecar.introspect import status_socket
from tracesidecar.introspect.status import StatusReport
from tracesidecar.introspect.status_socket import ReportFailure, encode_answer
from tracesidecar.logs import frames

log = structlog.get_logger()

SEND_SECONDS = 5.0
PAUSE_SECONDS = 1.0
CHECK_SECONDS = 2.0
"""How often to check that the socket's file is still there."""


class StatusServer:
    """Reports the status of the service to each process that connects, one after the other.

    All of it runs in the event loop. `report` returns None while the service stops or is replaced:
    then the connection ends without an answer. If it raises, that is logged, and the answer says
    so. In both cases the command that connected reads the journal.
    """

    def __init__(
        self, state_directory: str, report: Callable[[], Awaitable[StatusReport | None]]
    ) -> None:
        """Open the socket; where that is not possible, log it: `status` then reads the journal."""
        self._state_directory = state_directory
        self._report = report
        self._identity: tuple[int, int] | None = None
        self._problem = ""
        self._socket = self._open()

    async def run(self) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if self._socket is None:
                await asyncio.sleep(CHECK_SECONDS)
                self._reopen()
                continue
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    client, _ = await loop.sock_accept(self._socket)
            except TimeoutError:
                self._reopen()
                continue
            except OSError as error:  # the process has no descriptor left, for a while
                _log_failure(error)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            with client:
                await self._answer(client)

    def close(self) -> None:
        """Stop listening and remove the socket's file."""
        if self._socket is not None:
            self._socket.close()
            with suppress(OSError):  # it goes with the next start, which replaces it
                status_socket.remove(self._state_directory, only=self._identity)

    def _reopen(self) -> None:
        """Open the socket if there is none: its file was removed, or could not be made before."""
        if self._socket is not None:
            if not status_socket.is_missing(self._state_directory):
                return
            self._socket.close()
        self._socket = self._open()

    def _open(self) -> socket.socket | None:
        try:
            server = status_socket.listen(self._state_directory)
            self._identity = status_socket.identify(self._state_directory)
        except OSError as error:
            problem = error.strerror or str(error)
            if problem != self._problem:
                log.warning(
                    "status.socket_unavailable",
                    problem=problem,
                    remedy="it is tried again; until then status reads the journal instead",
                )
            self._problem = problem
            return None
        self._problem = ""
        return server

    async def _answer(self, client: socket.socket) -> None:
        client.setblocking(False)
        try:
            answer = await self._prepare_answer()
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.get_running_loop().sock_sendall(client, answer)
        except OSError as error:  # also TimeoutError: the client has gone, or does not read
            log.debug("status.not_sent", problem=str(error))

    async def _prepare_answer(self) -> bytes:
        try:
            report = await self._report()
            return b"" if report is None else encode_answer(report)
        except Exception as error:  # noqa: BLE001 - what goes wrong here must not stop what ships well
            _log_failure(error)
            return encode_answer(ReportFailure(type(error).__name__))


def _log_failure(error: Exception) -> None:
    """Log an error; its text only if the operating system wrote it, for others may quote data."""
    known = {"problem": error.strerror} if isinstance(error, OSError) and error.strerror else {}
    log.warning("status.failed", kind=type(error).__name__, **known, where=frames(error))
