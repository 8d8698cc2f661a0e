"""A `.gz` or `.zst` file, read at decompressed offsets.

The decompressor stays open and only goes forward.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import zstandard
from isal import isal_zlib
from isal.igzip_lib import IsalError

from tracesidecar.byte_count import count_byte
from tracesidecar.model import CHUNK_BYTES, Compression
from tracesidecar.tail.reading.expansion import LINE_BYTES, Expansion, ExpansionLimit
from tracesidecar.tail.reading.holes import find_data

_INPUT_BYTES = 64 * 1024
_OUTPUT_BYTES = 256 * 1024
_ZSTANDARD_INPUT_BYTES = 1024
"""Its decompressor does not limit its output; the most that a KiB can hold is 32 MiB."""

_FRAME_HEADER_BYTES = 18
"""The longest header of a Zstandard frame (RFC 8878, section 3.1.1)."""

_EMPTY_BYTES = 4 << 20
"""So much input may have no content: the archives of empty files."""
_PADDING_BYTES = 256 << 20
"""So many zeros may be between the members, and behind the last one, beside holes: to read them
takes some hundredths of a second. They are no input: tools that write to tapes or in blocks pad."""
_MEMBER_BYTES = 128
"""What a member or frame counts as, beside its bytes, and what an empty one counts as once more:
each takes time to begin, and 8 bytes of Zstandard are one."""
_CONTENT_SHARE = 16
"""Beyond these, input may count so many times its content: no compressor makes more of a line, even
if a line of a dozen bytes is a member of its own."""

_SKIPPABLE = tuple(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))
"""What may come before the first frame of a .zst (RFC 8878, section 3.1.2); pzstd writes it."""

_MAGIC: dict[bytes, Compression] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    **dict.fromkeys(_SKIPPABLE, "zstd"),
}

_SHORT_BYTES = 1 << 20
_REST_SECONDS = 3.0
"""How long nothing is written to an archive before a long one is looked at for a lost trailer."""

CUT_SECONDS = 24 * 3600.0
"""How long nothing is written to an archive before one that ends in mid-stream counts as cut off:
its compressor may have nothing to do at night.
"""

_GZIP_TRAILER_BYTES = 8
_GZIP_RATIO = 1032
"""The most that deflate can expand; a size in a trailer that claims more is damaged itself."""

DamageReason = Literal["corrupt"]


@dataclass(frozen=True, slots=True)
class Damage:
    """Why an archive cannot be decompressed further, and how long it says that its content is.

    Nobody knows how much is missing of one that was cut off: then that is what could be read.
    """

    reason: DamageReason
    declared_size: int


def may_be_archive(name: str) -> bool:
    """Return whether a file may be compressed, by its name."""
    return name.endswith((".gz", ".zst"))


def compression_of(name: str, beginning: bytes) -> Compression | None:
    """Return how a file is compressed, by its name and its first bytes.

    None if there are too few bytes yet to know.
    """
    if may_be_archive(name):
        for magic, compression in _MAGIC.items():
            if beginning.startswith(magic):
                return compression
            if beginning and magic.startswith(beginning):
                return None
    return "none"


class ArchiveError(Exception):
    """The stream cannot be decompressed further."""

    def __init__(self, reason: DamageReason) -> None:
        super().__init__(reason)
        self.reason = reason


class ArchiveFile:
    """Reads forward and keeps a window; a step back beyond it decompresses from the beginning.

    Damage ends the content like the end of the file does: what stands before it is readable.
    Input that goes on and on without content is damage, too: looking for the next line in it would
    keep all other files waiting. So does the limit of how much the file may expand end the content,
    as if the rest were not written yet.
    """

    def __init__(
        self,
        descriptor: int,
        compression: Compression,
        *,
        window: int,
        limit: ExpansionLimit,
        archive: int = 0,
        known: int = 0,
    ) -> None:
        """`window` is the most that is kept, in decompressed bytes.

        `limit` says how far the content of this `archive` may expand. Its first `known` bytes can
        be read in any case: they were read before, perhaps by a higher limit, and identify the
        file.

        `proven_offset` is for who reads: the last one before which the content was compared with
        what is known of the file. It is -1 again once that is decompressed again.
        """
        self._descriptor = descriptor
        self._limit = limit
        self._archive = archive
        self._known = known
        self._compression: Compression = compression
        self._window = window
        self._floor = 0
        self._damage: Damage | None = None
        self._start = self._memory_bytes = 0
        self.proven_offset = -1
        self._restart()

    @property
    def is_complete(self) -> bool:
        """Return whether the stream has been read to its proper end."""
        return self._stream.is_complete

    @property
    def damage(self) -> Damage | None:
        """Return why the content ends where it does, None if no damage was met so far."""
        return self._damage

    @property
    def expansion(self) -> Expansion | None:
        """Return how far the content expands, None while that is within the limit."""
        return self._stream.expansion

    @property
    def memory_bytes(self) -> int:
        """Return how much memory the reader takes: what it keeps, and its decompressor's window."""
        return self._memory_bytes

    @property
    def start(self) -> int:
        """Return the lowest offset that can be read without decompressing from the beginning."""
        return self._start

    def keep_from(self, offset: int) -> None:
        """Keep what is read from an offset on, and nothing before it."""
        self._floor = offset
        self._trim(offset)

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to `length` decompressed bytes; fewer only where the file ends for now."""
        expansion = self._stream.expansion
        has_turn = expansion and expansion.is_postponed and self._limit.has_turn
        if offset < self._start or has_turn:
            self._restart()
        while self._start + len(self._held) < offset + length and (data := self._inflate()):
            self._held += data
            self._trim(min(offset, max(self._floor, offset - self._window)))
        self._memory_bytes = len(self._held) + self._stream.measure_window()
        begin = offset - self._start
        return bytes(self._held[begin : begin + length]) if begin < len(self._held) else b""

    def find_data(self, offset: int) -> int:
        """Return the offset: what is decompressed has no holes."""
        return offset

    def size(self) -> int:
        """Return how many decompressed bytes are known."""
        return self._start + len(self._held)

    def _inflate(self) -> bytes:
        if self._damage is not None:
            return b""
        try:
            data = self._stream.inflate()
        except ArchiveError as error:
            declared = max(self.size(), self._stream.find_declared_size())
            self._damage = Damage(error.reason, declared)
            return b""
        if not data and self._stream.is_cut:
            self._damage = Damage("corrupt", self.size())
        return data

    def _trim(self, offset: int) -> None:
        surplus = min(offset - self._start, len(self._held))
        if surplus > CHUNK_BYTES:
            del self._held[:surplus]
            self._start += surplus

    def _restart(self) -> None:
        self._stream = _Stream(
            self._descriptor, self._compression, self._limit, self._archive, self._known
        )
        self._damage = None
        self.proven_offset = -1
        self._held = bytearray()
        self._start = self._memory_bytes = 0


class _Stream:
    """The decompressed bytes of all members or frames of a file, one after the other.

    A file that ends too early may still grow, and is read again then.
    """

    def __init__(
        self,
        descriptor: int,
        compression: Compression,
        limit: ExpansionLimit,
        archive: int,
        known: int,
    ) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._archive = archive
        self._known = known
        self._is_gzip = compression == "gzip"
        self._offset = 0
        self._produced = 0
        self._lines = 0
        self._pending = b""
        self._members = 0
        self._zeros = 0
        self._zeros_read = 0
        self._window_bytes = 0
        self._zstandard = zstandard.ZstdDecompressor()
        self._member = self._begin()
        self._member_offset = 0
        self._member_start = 0
        self._salvaged: Iterator[bytes] | None = None
        self._incomplete_at: tuple[int, int] | None = None
        self._damaged_at = 0
        self.expansion: Expansion | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether the last member ends where the file ends, perhaps within its trailer.

        It does not if some of it was too much to be read.
        """
        if self.expansion:
            return False
        status = os.fstat(self._descriptor)
        if self._pending or self._offset < status.st_size or self._salvaged is not None:
            return False
        return bool(self._member.eof) or self._lacks_only_its_trailer(status)

    @property
    def is_cut(self) -> bool:
        """Return whether the file ends in mid-stream, and nobody has written to it for long.

        Ask this when there is nothing more to read.
        """
        age = time.time() - os.fstat(self._descriptor).st_mtime
        return age > CUT_SECONDS and not self.expansion and not self.is_complete

    def _lacks_only_its_trailer(self, status: os.stat_result) -> bool:
        """Return whether all content of the current member is there, and its checksum is not.

        Its compressor may be at work. So a gzip member, which has to be decompressed once more to
        see this, is looked at when it is short, or has not grown for a while.
        """
        state = status.st_size, status.st_mtime_ns
        if self._incomplete_at == state or self._produced <= self._member_start:
            return False
        is_short = status.st_size - self._member_offset <= _SHORT_BYTES
        if self._is_gzip and not is_short and time.time() - status.st_mtime < _REST_SECONDS:
            return False
        if self._is_gzip:
            has_ended = _ends_deflate(self._descriptor, self._member_offset)
        else:
            has_ended = _ends_zstandard(self._descriptor, self._member_offset, status.st_size)
        if not has_ended:
            self._incomplete_at = state
        return has_ended

    def measure_window(self) -> int:
        """Return how much the decompressor keeps of its output.

        An agent chooses the window of a Zstandard frame, up to 128 MiB. The memory for it is used
        as the frame fills it, and kept for the frames that follow.
        """
        produced = self._produced - self._member_start
        if not self._is_gzip and produced > self._window_bytes:
            header = os.pread(self._descriptor, _FRAME_HEADER_BYTES, self._member_offset)
            with contextlib.suppress(zstandard.ZstdError):
                window = zstandard.get_frame_parameters(header).window_size
                self._window_bytes = max(self._window_bytes, min(produced, window))
        return self._window_bytes

    def find_declared_size(self) -> int:
        """Return where the current member ends by its own header or trailer, 0 if it is unknown.

        The trailer of a gzip file is taken for that of the current member. It does not count if
        the damage is in it, or if it claims more than the rest of the file can hold.
        Call this when damage was met.
        """
        if not self._is_gzip:
            header = os.pread(self._descriptor, _FRAME_HEADER_BYTES, self._member_offset)
            try:
                return self._member_start + max(0, zstandard.frame_content_size(header))
            except zstandard.ZstdError:
                return 0
        size = os.fstat(self._descriptor).st_size
        rest = size - self._damaged_at
        if rest <= _GZIP_TRAILER_BYTES:
            return 0
        declared = int.from_bytes(os.pread(self._descriptor, 4, size - 4), "little")
        known = self._produced - self._member_start
        return self._member_start + declared if declared <= known + rest * _GZIP_RATIO else 0

    def inflate(self) -> bytes:
        """Return some more bytes, b"" if there are none for now.

        There are none either once the output is more than it may be: then `expansion` is set.
        Raise ArchiveError where nothing more can be decompressed.
        """
        if self.expansion:
            return b""
        if self._salvaged is not None:
            return self._next_salvaged(self._salvaged)
        while True:
            if self._has_hardly_content():
                self._damaged_at = self._offset
                raise ArchiveError("corrupt")
            if not self._pending:
                self._pending = os.pread(self._descriptor, _INPUT_BYTES, self._offset)
                self._offset += len(self._pending)
            if self._member.eof:
                self._skip_zeros()
                if self._pending:
                    self._members += self._produced == self._member_start
                    self.measure_window()
                    self._member = self._begin()
                    self._member_offset = self._offset - len(self._pending)
                    self._member_start = self._produced
            if not self._pending:
                return b""
            if data := self._step():
                return self._limit_output(data)

    def _has_hardly_content(self) -> bool:
        """Return whether the input has far less content than any that a compressor made of lines.

        What was read before, by another limit, identifies the file.
        """
        cost = self._offset - self._zeros + _MEMBER_BYTES * self._members
        is_over = cost > _EMPTY_BYTES + _CONTENT_SHARE * self._produced
        return is_over and self._produced >= self._known

    def _skip_zeros(self) -> None:
        """Go to what is behind zeros, if `pending` begins with some.

        Raise ArchiveError if there are more than are read.
        """
        while self._pending:
            found = len(self._pending)
            self._pending = self._pending.lstrip(b"\0")
            self._zeros += found - len(self._pending)
            self._zeros_read += found - len(self._pending)
            if self._pending:
                return
            if self._zeros_read > _PADDING_BYTES:
                self._damaged_at = self._offset
                raise ArchiveError("corrupt")
            data_at = find_data(self._descriptor, self._offset)
            self._zeros += data_at - self._offset
            self._pending = os.pread(self._descriptor, _INPUT_BYTES, data_at)
            self._offset = data_at + len(self._pending)

    def _begin(self) -> Any:
        self._members += 1
        # one decompressor for all frames: making another takes many times as long as a small frame
        return (
            isal_zlib.decompressobj(wbits=31) if self._is_gzip else self._zstandard.decompressobj()
        )

    def _step(self) -> bytes:
        try:
            if self._is_gzip:
                data: bytes = self._member.decompress(self._pending, _OUTPUT_BYTES)
                rest: bytes = self._member.unconsumed_tail
            else:
                data = self._member.decompress(self._pending[:_ZSTANDARD_INPUT_BYTES])
                rest = self._pending[_ZSTANDARD_INPUT_BYTES:]
        # the stub of IsalError has no base class
        except (IsalError, zstandard.ZstdError):  # type: ignore[misc]
            self._salvaged = self._salvage()
            return self._next_salvaged(self._salvaged)
        self._pending = (
            self._member.unused_data + (b"" if self._is_gzip else rest)
            if self._member.eof
            else rest
        )
        return data

    def _next_salvaged(self, salvaged: Iterator[bytes]) -> bytes:
        for data in salvaged:
            return self._limit_output(data)
        raise ArchiveError("corrupt")

    def _limit_output(self, data: bytes) -> bytes:
        """Return what of some output is within the limit.

        The input read so far counts, but not zeros between members, which may be a hole.
        """
        lines = self._lines + count_byte(data, b"\n")
        if self._produced + len(data) > self._known:
            data = self._cut(data, lines)
        self._lines = lines
        self._produced += len(data)
        return data

    def _cut(self, data: bytes, lines: int) -> bytes:
        read = self._offset - self._zeros
        before = max(self._produced, LINE_BYTES * self._lines)
        counted = max(self._produced + len(data), LINE_BYTES * lines)
        limit = self._limit.find_limit(self._archive, read, counted)
        if counted <= limit:
            return data
        # as if its lines were equally long: a piece is small
        share = (limit - before) * len(data) // (counted - before)
        allowed = max(0, share, self._known - self._produced)
        if allowed < len(data):
            is_postponed = self._limit.is_postponed(self._archive, read)
            self.expansion = Expansion(-(-counted // max(1, read)), is_postponed)
        return data[:allowed]

    def _salvage(self) -> Iterator[bytes]:
        """Yield what the input that could not be decompressed holds before the damage.

        A decoder drops all output of the call in which it meets the damage. So the member is
        decompressed once more, the last input byte by byte. Damage in a trailer (a checksum, a
        length) then costs nothing.
        """
        failed_at = self._offset - len(self._pending)
        known = self._produced - self._member_start
        member, offset = self._begin(), self._member_offset
        # the stub of IsalError has no base class
        with contextlib.suppress(IsalError, zstandard.ZstdError):  # type: ignore[arg-type]
            while not member.eof:
                self._damaged_at = offset
                step = min(_ZSTANDARD_INPUT_BYTES, failed_at - offset) if offset < failed_at else 1
                data = os.pread(self._descriptor, step, offset)
                if not data:
                    return
                offset += len(data)
                for output in self._feed(member, data):
                    if len(output) > known:
                        yield output[known:]
                    known = max(0, known - len(output))

    def _feed(self, member: Any, data: bytes) -> Iterator[bytes]:
        """Yield what a decompressor makes of some input, bounded pieces at a time."""
        if not self._is_gzip:
            yield member.decompress(data)
            return
        yield member.decompress(data, _OUTPUT_BYTES)
        while member.unconsumed_tail and not member.eof:
            yield member.decompress(member.unconsumed_tail, _OUTPUT_BYTES)


def _ends_deflate(descriptor: int, member: int) -> bool:
    """Return whether the deflate stream of a gzip member ends within the file (RFC 1952)."""
    offset = _find_deflate(descriptor, member)
    stream = isal_zlib.decompressobj(wbits=-15)
    # the stub of IsalError has no base class
    with contextlib.suppress(IsalError):  # type: ignore[arg-type]
        while not stream.eof and (data := os.pread(descriptor, _INPUT_BYTES, offset)):
            offset += len(data)
            while data and not stream.eof:
                stream.decompress(data, _OUTPUT_BYTES)
                data = stream.unconsumed_tail
    return bool(stream.eof)


def _find_deflate(descriptor: int, member: int) -> int:
    """Return where the header of a gzip member ends."""
    header = os.pread(descriptor, _INPUT_BYTES, member)
    flags, at = header[3], 10
    if flags & 4:  # FEXTRA
        at += 2 + int.from_bytes(header[at : at + 2], "little")
    for flag in (8, 16):  # FNAME, FCOMMENT
        if flags & flag:
            at = header.find(b"\0", at) + 1
    return member + at + (2 if flags & 2 else 0)  # FHCRC


def _ends_zstandard(descriptor: int, frame: int, size: int) -> bool:
    """Return whether the last block of a Zstandard frame ends within the file (RFC 8878)."""
    at = frame + zstandard.frame_header_size(os.pread(descriptor, _FRAME_HEADER_BYTES, frame))
    while len(header := os.pread(descriptor, 3, at)) == 3:
        block = int.from_bytes(header, "little")
        is_repeated = block >> 1 & 3 == 1  # one byte stands for many
        at += 3 + (1 if is_repeated else block >> 3)
        if block & 1:
            return at <= size
    return False
