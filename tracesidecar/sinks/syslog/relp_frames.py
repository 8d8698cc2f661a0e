"""Frames of RELP, the Reliable Event Logging Protocol (librelp, doc/relp.md)."""

from __future__ import annotations

import re
from typing import NamedTuple

HINT = 0
"""The transaction number of what the server says unasked."""
LAST_TRANSACTION = 999_999_999
LONGEST_ANSWER_BYTES = 64 << 10
_LONGEST_HEADER_BYTES = 9 + 1 + 32 + 1 + 9 + 1
_HEADER = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
_TRAILER = 0x0A


class ProtocolError(Exception):
    """What came is no RELP."""


class Answer(NamedTuple):
    """A frame from the server."""

    transaction: int
    command: str
    data: bytes

    @property
    def is_good(self) -> bool:
        """Tell whether the server says that it has done what it was asked for."""
        return self.data[:3] == b"200"


def frame(transaction: int, command: str, data: bytes = b"") -> bytes:
    """Build a frame."""
    return b"%d %b %d%b%b\n" % (
        transaction,
        command.encode(),
        len(data),
        b" " if data else b"",
        data,
    )


def next_transaction(transaction: int) -> int:
    """Count on; after 999,999,999 comes 1."""
    return transaction % LAST_TRANSACTION + 1


class Answers:
    """Cuts what arrives into frames, however it is torn."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Answer]:
        """Take bytes; return the frames that are complete. Raises ProtocolError."""
        self._buffer += data
        found = []
        while (answer := self._take()) is not None:
            found.append(answer)
        return found

    def _take(self) -> Answer | None:
        header = _HEADER.match(self._buffer)
        if header is None:
            if len(self._buffer) > _LONGEST_HEADER_BYTES:
                raise ProtocolError
            return None
        begin, length = header.end(), int(header[3])
        if header[4] == b"\n":  # no data, and that was the trailer
            begin, length = begin - 1, 0
        end = begin + length
        if length > LONGEST_ANSWER_BYTES:
            raise ProtocolError
        if len(self._buffer) <= end:
            return None
        if self._buffer[end] != _TRAILER:
            raise ProtocolError
        answer = Answer(int(header[1]), header[2].decode(), bytes(self._buffer[begin:end]))
        del self._buffer[: end + 1]
        return answer
