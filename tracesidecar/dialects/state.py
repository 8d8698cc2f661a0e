"""The state that is carried from one line of a file to the next.

The journal keeps it with the offset, so that a restart continues in the middle of a file.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.tool_calls import OpenCall
from tracesidecar.rotation import strip_rotation

UNDECIDED = ""
"""The dialect of a file that none has recognised yet."""


class UnreadableState(Exception):
    """A state that cannot be decoded: it is damaged, or from another version."""


_encode = msgspec.msgpack.Encoder().encode


class FileIdentity(NamedTuple):
    """What distinguishes a file from all others of its source, wherever it is read.

    `folder` is where it is below the root of its source, redacted. `first` is a digest of its first
    line as redacted, or of why that was rejected. `generation` counts the files of this name that
    begin with this line, from 0.
    """

    folder: str
    first: bytes
    generation: int


class FileState(msgspec.Struct, array_like=True):
    """The state of one file.

    `path` is the redacted path when the file was first seen, without what a rotation adds, and
    `conversation` is what an event belongs to that no line assigns to another. `lines` is how many
    lines there were so far, `time` the last time that a line had, and `mapper` the dialect's own
    state (msgpack). `first`, `folder` and `generation` are those of the FileIdentity. `revisions`
    are the latest messages that may be written again: the beginning of their id → that of the
    digest of their last line, and the number of that version. `forgotten` is a Bloom filter of
    those that were there before. `calls` are the tool calls whose results are still to come.

    `schema` is the version of the events' schema that ids are made by. Version 1 of it had nothing
    from `folder` on, version 2 no `calls`.
    """

    path: str
    conversation: str
    dialect: str = UNDECIDED
    first: bytes = b""
    lines: int = 0
    time: str | None = None
    mapper: bytes = b""
    folder: str = ""
    generation: int = 0
    schema: int = 1
    revisions: dict[bytes, tuple[bytes, int]] = {}
    forgotten: bytearray = bytearray()
    calls: dict[str, OpenCall] = {}

    @property
    def name(self) -> FileName:
        """What the file's name and place say."""
        return FileName(self.path, self.folder, _beginning(self.first, self.generation))

    def identify(self, identity: FileIdentity, schema: int) -> None:
        """Go on as this file; the conversation stays what it was."""
        self.folder, self.generation, self.schema = identity.folder, identity.generation, schema
        self.first = identity.first

    def encode(self) -> bytes:
        """Encode the state for the journal."""
        return _encode(self)


_decode = msgspec.msgpack.Decoder(FileState).decode


def decode_state(body: bytes) -> FileState:
    """Undo `FileState.encode`.

    Raise UnreadableState.
    """
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise UnreadableState("the state of a file cannot be read") from error


def begin(label: str, identity: FileIdentity, schema: int) -> FileState:
    """Return the state at the beginning of a file; `label` is its redacted path."""
    # version 1 of the schema knew no folders: its conversations are the bare names
    beginning = _beginning(identity.first, identity.generation) if schema > 1 else ""
    file = FileName(strip_rotation(label), identity.folder, beginning)
    return FileState(
        file.path,
        file.conversation,
        first=identity.first,
        folder=identity.folder,
        generation=identity.generation,
        schema=schema,
    )


def _beginning(first: bytes, generation: int) -> str:
    """Return what tells a file from others of its name, or of one that is redacted to it."""
    return f"{first.hex()}:{generation}"
