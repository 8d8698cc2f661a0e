"""What is carried from one line of a file to the next; the journal keeps it with the offset, so
that a restart goes on in mid-file.
"""

from __future__ import annotations

import posixpath
import re

import msgspec

UNDECIDED = ""


class UnreadableState(Exception):
    """A state that is none: of another version, or damaged."""


_EXTENSIONS = (".gz", ".zst", ".zstd", ".jsonl", ".ndjson", ".json", ".log")

_ROTATED = re.compile(r"(\.(?:jsonl|ndjson|json|log))[.-]\d[\d.T:_-]{0,30}(?:\.(?:gz|zst))?\Z")

_encode = msgspec.msgpack.Encoder().encode


class FileState(msgspec.Struct, array_like=True):
    """State of one file for its interpreter.

    `dialect` is UNDECIDED until the first lines tell; `path` and `conversation` are the label and
    its stem when the file was first seen, without what a rotation adds. `first` is a digest of the
    first line as redacted, or of why it was refused; `lines` counts all lines so far; `time` is the
    last that a line had; `mapper` the dialect's own state (msgpack).
    """

    path: str
    conversation: str
    dialect: str = UNDECIDED
    first: bytes = b""
    lines: int = 0
    time: str | None = None
    mapper: bytes = b""

    def encode(self) -> bytes:
        """As the journal keeps it."""
        return _encode(self)


_decode = msgspec.msgpack.Decoder(FileState).decode


def decode_state(body: bytes) -> FileState:
    """Undo `FileState.encode`; raises UnreadableState."""
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise UnreadableState("the state of a file cannot be read") from error


def begin(label: str) -> FileState:
    """The state at the beginning of a file; `label` is its path as it may leave the machine."""
    path = strip_rotation(label)
    return FileState(path, stem(path))


def strip_rotation(label: str) -> str:
    """The path that a file had before a rotation named it (`a.jsonl.1`, `a.jsonl-20261121.gz`),
    where the name tells.
    """
    return _ROTATED.sub(r"\1", label)


def stem(label: str) -> str:
    """The file's name without what says how it is written."""
    name = posixpath.basename(label.replace("\\", "/"))
    while (extension := next((each for each in _EXTENSIONS if name.endswith(each)), None)) and len(
        name
    ) > len(extension):
        name = name.removesuffix(extension)
    return name
