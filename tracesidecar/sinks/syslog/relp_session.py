"""A session of RELP with a server: opened, filled within the window, and every message answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

import tracesidecar
from tracesidecar.sinks.syslog.relp_frames import (
    HINT,
    Answer,
    Answers,
    ProtocolError,
    frame,
    next_transaction,
)
from tracesidecar.sinks.transport.tcp import Connection, closed

WINDOW = 128
"""How many messages may be without an answer."""

OFFERS = f"relp_version=0\nrelp_software=tracesidecar,{tracesidecar.__version__}\ncommands=syslog".encode()
"""Version 0 is what librelp speaks to this day, although its specification calls it experimental.
"""

_LEAVE_SECONDS = 1.0


class Refused(Exception):
    """The server has answered that it did not do what it was asked for."""


class Session:
    """One session, for one task. A failed or cancelled call leaves it good only to be abandoned.

    Raises OSError (TimeoutError, when the server does not answer for so long, is one),
    ProtocolError or Refused.
    """

    def __init__(self, connection: Connection, *, timeout_seconds: float) -> None:
        self._connection = connection
        self._timeout = timeout_seconds
        self._answers = Answers()
        self._last = 0
        self._unanswered: set[int] = set()

    async def open(self) -> None:
        """Agree on what is spoken."""
        await self._send([self._command("open", OFFERS)])
        answers: list[Answer] = []
        while self._unanswered:
            answers = await self._settled()
        if not any(
            b"syslog" in line
            for answer in answers
            for line in answer.data.split(b"\n")
            if line.startswith(b"commands=")
        ):
            raise Refused

    async def deliver(self, messages: Sequence[bytes]) -> None:
        """Return when the server has answered for each message that it has it."""
        left = iter(messages)
        while True:
            room = WINDOW - len(self._unanswered)
            frames = [self._command("syslog", message) for message in islice(left, room)]
            await self._send(frames)
            if not self._unanswered:
                return
            await self._settled()

    async def is_open(self) -> bool:
        """Tell whether the server has kept silent; all that it says unasked is that it goes."""
        try:
            return await self._connection.receive_within(0.0) is None
        except OSError:
            return False

    async def close(self) -> None:
        """Take leave, as long as that takes no time, and close the connection."""
        with suppress(
            OSError, ProtocolError, Refused
        ):  # nothing hangs on it: every message has been answered
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._send([self._command("close")])
                while self._unanswered:
                    await self._settled()
        self.abandon()

    def abandon(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _command(self, name: str, data: bytes = b"") -> bytes:
        self._last = next_transaction(self._last)
        self._unanswered.add(self._last)
        return frame(self._last, name, data)

    async def _send(self, frames: Sequence[bytes]) -> None:
        async with asyncio.timeout(self._timeout):
            await self._connection.send(b"".join(frames))

    async def _settled(self) -> list[Answer]:
        """Wait for answers, at least one, and strike out what they answer."""
        answers: list[Answer] = []
        async with asyncio.timeout(self._timeout):
            while not answers:
                data = await self._connection.receive()
                if not data:
                    raise closed()
                answers = self._answers.feed(data)
        for answer in answers:
            if answer.transaction == HINT:
                raise closed()  # "serverclose": there is no other hint
            if answer.command != "rsp" or answer.transaction not in self._unanswered:
                raise ProtocolError
            if not answer.is_good:
                raise Refused
            self._unanswered.remove(answer.transaction)
        return answers
