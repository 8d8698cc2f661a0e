"""Whether a new file is a segment of its own, or goes on where another one ended: copies,
compressed copies, restored files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from tracesidecar.model import TAIL_BYTES
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.open_files import Opened, OpenFiles

_INDEX_SECONDS = 30.0
"""How long the index of all beginnings serves; files that have changed since have one of their own.
"""

_SEPARATOR = re.compile(r"[.\-_~]")


@dataclass(frozen=True, slots=True)
class Orphan:
    """A segment that has lost its file, or whose file has lost its name, and since when."""

    file: File
    since: float


@dataclass(frozen=True, slots=True)
class Wait:
    """A new file that may be a copy of `original` in progress: it held `size` bytes, all the
    original's, when it last grew.
    """

    file: File
    original: int
    size: int
    since: float


class Continuations:
    """Knows the orphans and the waiting files, and compares."""

    def __init__(
        self,
        sources: Sequence[SourceOptions],
        files: FileTable,
        access: OpenFiles,
        identity: Fingerprinter,
        restless: Mapping[int, File],
    ) -> None:
        """`restless` are the files that change, or have lately: where an original that is being
        copied is sure to be.
        """
        self._sources = sources
        self._files = files
        self._access = access
        self._identity = identity
        self._restless = restless
        self._index: _PrefixIndex | None = None
        self._recent: _PrefixIndex | None = None
        self._indexed_at = 0.0
        self.orphans: dict[int, Orphan] = {}
        self.waiting: dict[int, Wait] = {}

    def begin_turn(self, now: float) -> None:
        """Forget what was only true of the last turn."""
        self._recent = None
        if now - self._indexed_at >= _INDEX_SECONDS:
            self._index, self._indexed_at = None, now

    def forget(self, file: File) -> None:
        """Forget a file."""
        self.orphans.pop(file.id, None)
        self.waiting.pop(file.id, None)

    def orphan(self, file: File, now: float) -> None:
        """Look for an heir of this file from now on."""
        self.orphans.setdefault(file.id, Orphan(file, now))

    def grace(self, file: File) -> float:
        """Return how long a copy of the file, or its end, is waited for, in seconds."""
        return float(self._sources[file.source].copy_grace)

    def expired(self, now: float) -> list[File]:
        """Return the orphans that no heir was found for in time."""
        return [
            orphan.file
            for orphan in self.orphans.values()
            if now - orphan.since >= self.grace(orphan.file)
        ]

    def match(self, candidate: Opened, head: bytes) -> File | None:
        """Return the orphan that goes on in this file: the one with the most in common."""
        digests: dict[int, bytes] = {}
        found: list[File] = []
        for orphan in self.orphans.values():
            file = orphan.file
            length = file.prefix_length
            if not length or length > len(head):
                continue
            digest = digests.get(length) or digests.setdefault(
                length, self._identity.digest(head[:length])
            )
            if digest == file.prefix_digest and self._goes_on(file, candidate):
                found.append(file)
        return max(found, key=lambda file: file.reach_offset, default=None)

    def original(self, file: File, candidate: Opened, head: bytes) -> File | None:
        """Return the live file that this one may be becoming a copy of."""
        former = self.waiting.get(file.id)
        if former is not None:
            known = self._files.get(former.original)
            return (
                known
                if known is not None
                and known.state == "live"
                and self._copies(file, candidate, known)
                else None
            )
        if self._index is None:
            self._index = _PrefixIndex(self._files, self._identity)
        if self._recent is None:
            self._recent = _PrefixIndex(self._restless.values(), self._identity)
        alike = chain(self._recent.alike(file, head), self._index.alike(file, head))
        return next(
            (
                known
                for known in alike
                if known.state == "live" and self._copies(file, candidate, known)
            ),
            None,
        )

    def wait(self, file: File, original: File, size: int, now: float) -> bool:
        """Let a possible copy wait; False when it has waited long enough."""
        former = self.waiting.get(file.id)
        if former is None or former.size != size:
            self.waiting[file.id] = Wait(file, original.id, size, now)
            return True
        return now - former.since < self.grace(file)

    def is_spent(self, file: File, size: int) -> bool:
        """Tell whether this was seen to be a copy of a file that has since ended and that had been
        read as far as the copy goes.
        """
        wait = self.waiting.get(file.id)
        if wait is None or wait.size != size or wait.original not in self.orphans:
            return False
        return self.orphans[wait.original].file.reach_offset >= size

    def _goes_on(self, file: File, candidate: Opened) -> bool:
        place = file.reach
        if file.state == "deleted":  # what is left of it can be read: the heir must have all of it
            rest = self._access.open(file)
            place = place if rest is None else self._identity.checkpoint(rest, file.length)
        return self._identity.stands_at(candidate, place)

    def _copies(self, file: File, candidate: Opened, original: File) -> bool:
        source = self._access.open(original)
        if source is None or not _begin_alike(source, candidate):
            return False
        if file.compression != "none" or original.compression != "none":
            return file.compression != original.compression
        size = candidate.size()
        start = max(0, size - TAIL_BYTES)
        return size <= source.size() and source.pread(size - start, start) == candidate.pread(
            size - start, start
        )


def _begin_alike(one: Opened, other: Opened) -> bool:
    heads = one.pread(TAIL_BYTES, 0), other.pread(TAIL_BYTES, 0)
    shared = min(map(len, heads))
    return shared > 0 and heads[0][:shared] == heads[1][:shared]


class _PrefixIndex:
    """Live files by their first bytes.

    Short ones are compared within their directory only, and by name where the new file is shorter
    still.
    """

    def __init__(self, files: Iterable[File], identity: Fingerprinter) -> None:
        self._identity = identity
        self._alike: dict[tuple[Directory | None, bytes], list[File]] = {}
        self._lengths: dict[Directory | None, set[int]] = {}
        self._named: dict[tuple[Directory, str], list[File]] = {}
        for file in files:
            if file.state == "live":
                place = None if file.prefix_length == TAIL_BYTES else file.directory
                self._alike.setdefault((place, file.prefix_digest), []).append(file)
                self._lengths.setdefault(place, set()).add(file.prefix_length)
                self._named.setdefault((file.directory, file.name.partition(".")[0]), []).append(
                    file
                )

    def alike(self, file: File, head: bytes) -> Iterator[File]:
        for place in (None, file.directory):
            for length in self._lengths.get(place, ()):
                if length <= len(head):
                    yield from self._alike.get((place, self._identity.digest(head[:length])), ())
        if len(head) < TAIL_BYTES:
            for cut in _SEPARATOR.finditer(file.name):
                yield from self._named.get((file.directory, file.name[: cut.start()]), ())
