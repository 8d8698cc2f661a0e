"""What is carried from one line of a file to the next; the journal keeps it with the offset, so that a restart goes on in mid-file."""

from __future__ import annotations

import posixpath

import msgspec

UNDECIDED = ""
_EXTENSIONS = (".gz", ".zst", ".zstd", ".jsonl", ".ndjson", ".json", ".log")

_encode = msgspec.msgpack.Encoder().encode


class FileState(msgspec.Struct, array_like=True):
    """State of one file for its interpreter.

    `dialect` is UNDECIDED until the first lines tell; `path` and `conversation` are the label and its stem when the file was begun: a rename does not
    change them. `first` is a digest of the first line as redacted, or of why it was refused; `lines` counts all lines so far; `time` is the last
    that a line had; `mapper` the dialect's own state (msgpack).
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
    """Undo `FileState.encode`."""
    return _decode(body)


def begin(label: str) -> FileState:
    """The state at the beginning of a file; `label` is its path as it may leave the machine."""
    return FileState(label, stem(label))


def stem(label: str) -> str:
    """The file's name without what says how it is written."""
    name = posixpath.basename(label.replace("\\", "/"))
    while (extension := next((each for each in _EXTENSIONS if name.endswith(each)), None)) and len(name) > len(extension):
        name = name.removesuffix(extension)
    return name
