"""The state that is carried from one line of a file to the next.

The journal keeps it with the offset, so that a restart continues in the middle of a file.
"""

from __future__ import annotations

import posixpath
import re

import msgspec

UNDECIDED = ""
"""The dialect of a file that none has recognised yet."""


class UnreadableState(Exception):
    """A state that cannot be decoded: it is damaged, or from another version."""


_EXTENSIONS = (".gz", ".zst", ".zstd", ".jsonl", ".ndjson", ".json", ".log")

_ROTATED = re.compile(r"(\.(?:jsonl|ndjson|json|log))[.-]\d[\d.T:_-]{0,30}(?:\.(?:gz|zst))?\Z")

_encode = msgspec.msgpack.Encoder().encode


class FileState(msgspec.Struct, array_like=True):
    """The state of one file.

    `path` and `conversation` are the redacted path and its stem when the file was first seen,
    without what a rotation adds. `first` is a digest of the first line as redacted, or of why
    it was rejected. `lines` is how many lines there were so far, `time` the last time that a
    line had, and `mapper` the dialect's own state (msgpack).
    """

    path: str
    conversation: str
    dialect: str = UNDECIDED
    first: bytes = b""
    lines: int = 0
    time: str | None = None
    mapper: bytes = b""

    def encode(self) -> bytes:
        """Encode the state for the journal."""
        return _encode(self)


_decode = msgspec.msgpack.Decoder(FileState).decode


def decode_state(body: bytes) -> FileState:
    """Undo `FileState.encode`.

    Raises UnreadableState.
    """
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise UnreadableState("the state of a file cannot be read") from error


def begin(label: str) -> FileState:
    """Return the state at the beginning of a file; `label` is its redacted path."""
    path = strip_rotation(label)
    return FileState(path, stem(path))


def strip_rotation(label: str) -> str:
    """Return the path that a file had before it was rotated, as far as its name shows it.

    `a.jsonl.1` and `a.jsonl-20261121.gz` were `a.jsonl`.
    """
    return _ROTATED.sub(r"\1", label)


def stem(label: str) -> str:
    """Return the file's name without the extensions that say how it is encoded."""
    name = posixpath.basename(label.replace("\\", "/"))
    while True:
        extension = next((each for each in _EXTENSIONS if name.endswith(each)), "")
        if extension in ("", name):
            return name
        name = name.removesuffix(extension)
