"""A RELP session with a server.

It is opened, messages are sent within a window, and the server acknowledges each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

import tracesidecar
from tracesidecar.sinks.relp.frames import (
    HINT_TRANSACTION,
    RelpProtocolError,
    RelpResponse,
    ResponseParser,
    frame,
    next_transaction,
)
from tracesidecar.sinks.transport import Connection, make_closed_by_server_error

WINDOW = 128
"""The most messages that may wait for an acknowledgement: the default of librelp itself."""

OFFERS = (
    b"relp_version=0\nrelp_software=tracesidecar,%b\ncommands=syslog"
    % tracesidecar.__version__.encode()
)
"""Version 0 is what librelp still speaks, although its specification calls it experimental."""

_CLOSE_SECONDS = 1.0


class RelpRejection(Exception):
    """The server answered a command with an error."""


class RelpSession:
    """One session, for one task. After a failed or cancelled call it can only be abandoned.

    Its methods raise RelpProtocolError, RelpRejection, or OSError for failures of the connection;
    TimeoutError, which is an OSError, if the server does not answer in time.
    """

    def __init__(self, connection: Connection, *, timeout_seconds: float) -> None:
        """`timeout_seconds` is the longest wait for the next answer."""
        self._connection = connection
        self._timeout = timeout_seconds
        self._parser = ResponseParser()
        self._last_transaction = 0
        self._unacknowledged: set[int] = set()

    async def open(self) -> None:
        """Agree with the server on the commands; it must support `syslog`."""
        await self._send([self._command("open", OFFERS)])
        responses: list[RelpResponse] = []
        while self._unacknowledged:
            responses = await self._receive()
        if not any(
            b"syslog" in line
            for response in responses
            for line in response.data.split(b"\n")
            if line.startswith(b"commands=")
        ):
            raise RelpRejection

    async def deliver(self, messages: Sequence[bytes]) -> None:
        """Return when the server has acknowledged every message."""
        remaining = iter(messages)
        while True:
            room = WINDOW - len(self._unacknowledged)
            frames = [self._command("syslog", message) for message in islice(remaining, room)]
            await self._send(frames)
            if not self._unacknowledged:
                return
            await self._receive()

    async def is_open(self) -> bool:
        """Return whether the idle session can still be used.

        The only thing that a server says without being asked is that it ends the session, so any
        byte means that it is over.
        """
        try:
            return await self._connection.receive_within(0.0) is None
        except OSError:
            return False

    async def close(self) -> None:
        """End the session in an orderly way, if the server answers soon; close the connection."""
        # Every message has been acknowledged by now, so a failure costs nothing.
        with suppress(OSError, RelpProtocolError, RelpRejection):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._send([self._command("close")])
                while self._unacknowledged:
                    await self._receive()
        self.abandon()

    def abandon(self) -> None:
        """Close the connection without ending the session."""
        self._connection.close()

    def _command(self, name: str, data: bytes = b"") -> bytes:
        self._last_transaction = next_transaction(self._last_transaction)
        self._unacknowledged.add(self._last_transaction)
        return frame(self._last_transaction, name, data)

    async def _send(self, frames: Sequence[bytes]) -> None:
        async with asyncio.timeout(self._timeout):
            await self._connection.send(b"".join(frames))

    async def _receive(self) -> list[RelpResponse]:
        """Wait for at least one response, and mark the commands of all of them as done."""
        responses: list[RelpResponse] = []
        async with asyncio.timeout(self._timeout):
            while not responses:
                data = await self._connection.receive()
                if not data:
                    raise make_closed_by_server_error()
                responses = self._parser.feed(data)
        for response in responses:
            if response.transaction == HINT_TRANSACTION:
                # "serverclose" is the only hint that is specified
                raise make_closed_by_server_error()
            if response.command != "rsp" or response.transaction not in self._unacknowledged:
                raise RelpProtocolError
            if not response.is_success:
                raise RelpRejection
            self._unacknowledged.remove(response.transaction)
        return responses
