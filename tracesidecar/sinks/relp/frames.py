"""Frames of RELP, the Reliable Event Logging Protocol (librelp, doc/relp.md)."""

from __future__ import annotations

import re
from typing import NamedTuple

HINT_TRANSACTION = 0
"""The transaction number of a frame that answers no command of ours."""
LAST_TRANSACTION = 999_999_999
RESPONSE_LIMIT_BYTES = 64 << 10
_HEADER_LIMIT_BYTES = 9 + 1 + 32 + 1 + 9 + 1
_HEADER = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
_TRAILER = 0x0A
_SUCCESS = re.compile(rb"200(?![0-9])")
"""The code of a response; the words after it differ from server to server."""


class RelpProtocolError(Exception):
    """The server sent something that is not RELP."""


class RelpResponse(NamedTuple):
    """A frame from the server."""

    transaction: int
    command: str
    data: bytes

    @property
    def is_success(self) -> bool:
        """Whether the server has done what the command asked for."""
        return _SUCCESS.match(self.data) is not None


def frame(transaction: int, command: str, data: bytes = b"") -> bytes:
    """Return a frame."""
    return b"%d %b %d%b%b\n" % (
        transaction,
        command.encode(),
        len(data),
        b" " if data else b"",
        data,
    )


def next_transaction(transaction: int) -> int:
    """Return the next transaction number; 1 follows 999,999,999."""
    return transaction % LAST_TRANSACTION + 1


class ResponseParser:
    """Splits the server's bytes into frames, at whatever boundaries they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[RelpResponse]:
        """Add bytes and return the frames that are complete. Raise RelpProtocolError."""
        self._buffer += data
        responses = []
        while (response := self._parse_one()) is not None:
            responses.append(response)
        return responses

    def _parse_one(self) -> RelpResponse | None:
        header = _HEADER.match(self._buffer)
        if header is None:
            if len(self._buffer) > _HEADER_LIMIT_BYTES:
                raise RelpProtocolError
            return None
        begin, length = header.end(), int(header[3])
        if header[4] == b"\n":  # without data, the newline is already the trailer
            begin, length = begin - 1, 0
        end = begin + length
        if length > RESPONSE_LIMIT_BYTES:
            raise RelpProtocolError
        if len(self._buffer) <= end:
            return None
        if self._buffer[end] != _TRAILER:
            raise RelpProtocolError
        response = RelpResponse(int(header[1]), header[2].decode(), bytes(self._buffer[begin:end]))
        del self._buffer[: end + 1]
        return response
