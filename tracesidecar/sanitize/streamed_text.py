"""A text that is streamed over several lines, and its pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracesidecar.sanitize.rules import Codec

GAP_LINES = 64
"""A text is over when this many lines in a row did not continue it."""


class StreamPiece(NamedTuple):
    """A piece of a streamed text: its line [start, end) in the chunk, and the member path to it.

    `codec` is what the value at the path is, `text` what it means. Of a string, `skip` bytes stand
    before the piece.
    """

    start: int
    end: int
    path: tuple[str | int, ...]
    text: bytes
    codec: Codec = "text"
    skip: int = 0


class StreamedText(NamedTuple):
    """The pieces of one text, in order; `is_open` if more may come.

    If `is_ambiguous`, the pieces could not be assigned to texts, and none of their lines may pass.
    If `is_guessed`, only the shape of the lines says that they are pieces.
    """

    pieces: Sequence[StreamPiece]
    is_open: bool
    is_ambiguous: bool = False
    is_guessed: bool = False
