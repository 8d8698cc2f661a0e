"""The table of formats that stream a text over several lines (streams.toml)."""

from __future__ import annotations

import re
from functools import cache, cached_property
from importlib import resources
from typing import Literal

import msgspec

Codec = Literal["text", "base64", "bytes"]


class StreamFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One row of streams.toml; the fields are explained there."""

    name: str
    source: str
    sign: str
    pieces: tuple[str, ...]
    message: tuple[str, ...]
    ends: tuple[str, ...] = ()
    codec: Codec = "text"

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """What a line with a piece has in it."""
        return re.compile(self.sign.encode())

    @cached_property
    def piece_paths(self) -> tuple[tuple[str, ...], ...]:
        """The names on the way to a piece, and `*` for each item of a list."""
        return tuple(tuple(path.split(".")) for path in self.pieces)

    @cached_property
    def end_paths(self) -> tuple[tuple[str, ...], ...]:
        """The names on the way to what says that a message ends."""
        return tuple(tuple(path.split(".")) for path in self.ends)

    @cached_property
    def message_paths(self) -> tuple[tuple[str, ...], ...]:
        """The names on the way to what tells one message from another."""
        return tuple(tuple(path.split(".")) for path in self.message)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stream: tuple[StreamFormat, ...]


def read_stream_table() -> bytes:
    """Return the packaged streams.toml."""
    return resources.files("tracesidecar.sanitize.rules").joinpath("streams.toml").read_bytes()


@cache
def load_stream_formats() -> tuple[StreamFormat, ...]:
    """Decode the packaged streams.toml, once."""
    return msgspec.toml.decode(read_stream_table(), type=_Table).stream
