"""Rebuild where a sink is in the files, from the manifests in its store.

For a state directory that is lost. What a manifest says of a segment (file, end, last line) is
looked for on the disk, and proven by reading the file up to that end.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, Literal

from tracesidecar.batch import Manifest, ManifestRange, digest_last_line
from tracesidecar.config import Configuration
from tracesidecar.daemon.processing import encoding_of, host_name, make_interpreters
from tracesidecar.dialects import FileIdentity, decode_state
from tracesidecar.introspect.archives import UNREADABLE, compression_by_name, open_content
from tracesidecar.introspect.chunks import read_chunks, read_document_chunks
from tracesidecar.journal import (
    Commit,
    Journal,
    QuarantinedLine,
    make_quarantined_line,
)
from tracesidecar.lake import manifests
from tracesidecar.model import TAIL_BYTES, Checkpoint, Chunk, CleanChunk, Compression, Segment
from tracesidecar.pipeline import FileNames, PathLabels
from tracesidecar.sanitize import complete_chunk, redact_path
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.sinks import SinkOptions, StoredObjects, destination_key_of
from tracesidecar.tail import (
    Fingerprinter,
    FollowedPaths,
    GlobPattern,
    SegmentRecord,
    SegmentState,
    SourceOptions,
    Tree,
)

Why = Literal["no file", "other content", "shorter", "unknown source"]
"""Why a segment was not found: no file could be it, or the best one differs or is too short."""


@dataclass(slots=True)
class StoredSegment:
    """What the manifests say of one segment: the range from the beginning that arrived.

    `redriven` are the offsets of lines that were rejected first and delivered later; `end` is the
    furthest of all ranges, -1 if there is none.
    """

    id: int
    source: str
    generation: int
    path: str = ""
    first_path: str = ""
    device: int = 0
    inode: int = 0
    rules: str = ""
    source_generation: int | None = None
    end: int = -1
    redriven: set[int] = field(default_factory=set)
    ranges: list[ManifestRange] = field(default_factory=list)

    def find_reached(self) -> ManifestRange | None:
        """Return the last range before the first gap, with the end that is reached; None if none.

        A sink that started "now" has nothing before its first range.
        """
        reached: ManifestRange | None = None
        for each in sorted(self.ranges, key=lambda part: (part.start, part.end)):
            if reached is not None and each.start > reached.end:
                break
            if reached is None or each.end > reached.end:
                reached = each
        return reached


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file that may be a segment."""

    path: str
    status: os.stat_result

    @property
    def compression(self) -> Compression:
        """How the file is compressed, by its name."""
        return compression_by_name(self.path)


@dataclass(frozen=True, slots=True)
class RecoveredSegment:
    """A segment whose file was found: what the journal will have of it.

    `identity` is that of its events, and `name` what files have in common with it that begin alike;
    None and empty if the sink takes no events.
    """

    record: SegmentRecord
    reached: Checkpoint
    quarantined: tuple[QuarantinedLine, ...]
    identity: FileIdentity | None = None
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class MissingSegment:
    """A segment that no file on this disk is; `end` is how far it had arrived, in bytes."""

    segment: int
    source: str
    path: str
    end: int
    why: Why


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the store and the disk say together; `other_hosts` have manifests in the store too."""

    found: tuple[RecoveredSegment, ...]
    missing: tuple[MissingSegment, ...]
    manifests: int
    unreadable: tuple[str, ...]
    other_hosts: tuple[str, ...]


class Recoverer:
    """Finds the segments of one sink's manifests on this disk. Blocks; for one thread."""

    def __init__(
        self,
        configuration: Configuration,
        sink: SinkOptions,
        *,
        key: bytes,
        state_directory: str,
        host: str | None = None,
    ) -> None:
        """Take the key and the directory of the journal that the result is for.

        `host` names whose manifests count, this machine's if it is None. Raise RedactionError or
        ConfigurationError if the rules cannot be used.
        """
        self._configuration = configuration
        self._tree = Tree(configuration.source)
        self._sink = sink
        self.host = host or host_name()
        self._fingerprinter = Fingerprinter(key)
        cache = os.path.join(state_directory, "cache")
        self._sanitizer = Sanitizer(
            configuration.redaction, cache_directory=cache, cache_key=key, digest_key=key
        )
        self._interpreters = (
            make_interpreters(configuration, self._sanitizer.version, lambda _dialect, _type: None)
            if encoding_of(sink).interprets
            else {}
        )
        self._sources = {source.name: source for source in configuration.source}
        self._generations = Counter[bytes]()
        self._identities: dict[int, FileIdentity] = {}
        self._names = FileNames(self._sources, PathLabels(self._sanitizer))
        self._followed = FollowedPaths(configuration.source)

    def run(self, store: StoredObjects) -> Recovery:
        """Read all manifests of the store and look for their files.

        Raise RetryLater if the store cannot be used now.
        """
        unreadable: list[str] = []
        segments: dict[int, StoredSegment] = {}
        others: set[str] = set()
        count = 0
        for _, manifest in manifests(store, unreadable.append):
            if manifest.sink != self._sink.name:
                continue
            if manifest.host != self.host:
                others.add(manifest.host)
                continue
            count += 1
            _add(segments, manifest)
        files = _Files(self._list_files(segments.values()))
        found: list[RecoveredSegment] = []
        missing: list[MissingSegment] = []
        # the newest first: if an inode was used again, the file on the disk is the last one's
        for segment in sorted(segments.values(), key=_newest_first):
            last = segment.find_reached()
            if last is None:
                continue
            result = self._find(segment, last, files)
            if isinstance(result, RecoveredSegment):
                found.append(result)
            else:
                missing.append(
                    MissingSegment(segment.id, segment.source, segment.path, last.end, result)
                )
        return Recovery(
            tuple(found), tuple(missing), count, tuple(unreadable), tuple(sorted(others))
        )

    def _find(
        self, segment: StoredSegment, last: ManifestRange, files: _Files
    ) -> RecoveredSegment | Why:
        why: Why = "no file"
        for file in files.candidates(segment):
            # a source may have been renamed since
            source = self._sources.get(segment.source) or self._followed.find_source(file.path)
            if source is None:
                why = "unknown source" if why == "no file" else why
                continue
            if file.compression == "none" and file.status.st_size < last.end:
                why = "shorter" if why == "no file" else why
                continue
            recovered = self._prove(segment, last, source, file)
            if recovered is not None:
                files.take(file)
                return recovered
            why = "other content"
        return why

    def _prove(
        self, segment: StoredSegment, last: ManifestRange, source: SourceOptions, file: FoundFile
    ) -> RecoveredSegment | None:
        """Read a file up to the end that arrived; None if it is another one."""
        origin = segment.first_path if os.path.isabs(segment.first_path) else ""
        origin = "" if origin == file.path else origin
        identity = Segment(
            segment.id,
            source.name,
            file.path,
            file.status.st_dev,
            file.status.st_ino,
            segment.generation,
            origin,
        )
        self._identities.pop(segment.id, None)  # of another file that was tried for it
        reading = _Reading(identity, last.end)
        state = b""
        last_line = ""
        rejected: list[QuarantinedLine] = []
        try:
            with open_content(file.path, self._tree.open_file(file.path)) as content:
                for chunk in reading.chunks(content, source):
                    clean = self._clean(chunk, source)
                    state = self._interpret(clean, state, segment.source_generation)
                    last_line = digest_last_line(clean.data) or last_line
                    rejected += [
                        make_quarantined_line(identity, each)
                        for each in clean.rejected
                        if each.start not in segment.redriven
                    ]
        except UNREADABLE:
            return None
        if reading.offset != last.end:
            return None
        if not self._is_proven(segment, last, file, last_line):
            return None
        reached = Checkpoint(last.end, self._fingerprinter.digest(reading.tail), state)
        found = decode_state(state) if state else None
        return RecoveredSegment(
            self._record(identity, file, reading),
            reached,
            tuple(rejected),
            None if found is None else FileIdentity(found.folder, found.first, found.generation),
            b"" if found is None else self._names.digest(identity, found.first),
        )

    def _is_proven(
        self, segment: StoredSegment, last: ManifestRange, file: FoundFile, last_line: str
    ) -> bool:
        """Return whether a file that has a line's end where the segment's delivery ended is it.

        Whoever may write to the store may plant a manifest that names any file by path and inode.
        So a file that no source would follow by its name is only known by its content.
        """
        if last.last and last.last == last_line:
            return True
        if not self._followed.may_follow(file.path):
            return False
        if not last.inode:
            return True  # a manifest of version 2 has nothing but the name
        # other rules may redact the line in another way
        is_comparable = bool(last.last) and segment.rules == self._sanitizer.version
        is_same_inode = (file.status.st_dev, file.status.st_ino) == (segment.device, segment.inode)
        return is_same_inode and not is_comparable

    def _clean(self, chunk: Chunk, source: SourceOptions) -> CleanChunk:
        clean = self._sanitizer(chunk, repair=source.repair, flush=True)
        return complete_chunk(
            clean, chunk, digest=b"", rejected=clean.rejected, with_positions=True
        )

    def _interpret(self, clean: CleanChunk, state: bytes, generation: int | None) -> bytes:
        """Return the interpreter's state after a chunk, empty if the sink takes no events."""
        if clean.segment.source not in self._interpreters:
            return b""
        path = clean.segment.origin or clean.segment.path
        label = redact_path(path, self._sanitizer.redact_text)
        interpret = self._interpreters[clean.segment.source]
        _, after = interpret(
            label,
            clean,
            state if clean.start else None,
            lambda first: self._identify(clean.segment, first, generation),
        )
        return after

    def _identify(self, segment: Segment, first: bytes, generation: int | None) -> FileIdentity:
        """Return the identity that a segment's events have.

        Manifests of earlier versions have no generation: there, each file of a name is another.
        """
        if segment.id not in self._identities:
            name = self._names.name(segment)
            if generation is None:
                digest = self._names.digest(segment, first)
                generation = self._generations[digest]
                self._generations[digest] += 1
            self._identities[segment.id] = FileIdentity(name.folder, first, generation)
        return self._identities[segment.id]

    def _record(self, segment: Segment, file: FoundFile, reading: _Reading) -> SegmentRecord:
        """Return the record of a file whose content is verified at the next start."""
        return SegmentRecord(
            id=segment.id,
            source=segment.source,
            path=segment.path,
            device=segment.device,
            inode=segment.inode,
            generation=segment.generation,
            compression=file.compression,
            size=file.status.st_size,
            prefix_length=len(reading.head),
            prefix_digest=self._fingerprinter.digest(reading.head),
            modified_ns=file.status.st_mtime_ns,
            changed_ns=-1,
            state=SegmentState.LIVE,
            length=reading.offset,
            origin=segment.origin,
        )

    def _list_files(self, segments: Iterable[StoredSegment]) -> Iterator[FoundFile]:
        """Return every regular file below the sources' roots, also those that no glob matches.

        A file may have been rotated out of the globs since. Folders beside the segments' last names
        are looked at, too: they may be behind a link that a source follows.
        """
        roots = {
            GlobPattern.parse(glob).root
            for source in self._configuration.source
            for glob in source.include
        }
        folders = {
            os.path.dirname(segment.path) for segment in segments if _is_below(segment.path, roots)
        }
        seen: set[tuple[int, int]] = set()
        for root in (*sorted(roots), *sorted(folders)):
            listed = self._tree.walk(root)
            for folder, entries in listed if root in roots else islice(listed, 1):
                for entry in entries:
                    path = os.path.join(folder, entry.name)
                    try:
                        status = self._tree.stat(path)
                    except OSError:
                        continue
                    identity = (status.st_dev, status.st_ino)
                    if stat.S_ISREG(status.st_mode) and identity not in seen:
                        seen.add(identity)
                        yield FoundFile(path, status)


class _Files:
    """The files on the disk, each the file of one segment at most."""

    def __init__(self, files: Iterable[FoundFile]) -> None:
        self._files = {(file.status.st_dev, file.status.st_ino): file for file in files}
        self._by_stem: dict[str, list[FoundFile]] = defaultdict(list)
        for file in self._files.values():
            self._by_stem[_stem(file.path)].append(file)

    def candidates(self, segment: StoredSegment) -> list[FoundFile]:
        """Return the files that may be a segment, the most likely one first.

        That is the one with its inode, then those of its name: rotated, compressed or restored.
        """
        found: list[FoundFile] = []
        if (file := self._files.get((segment.device, segment.inode))) is not None:
            found.append(file)
        paths = {segment.path, segment.first_path}
        named = {
            id(file): file for stem in map(_stem, paths) for file in self._by_stem.get(stem, ())
        }
        found += sorted(
            (file for file in named.values() if file not in found),
            key=lambda file: (file.path not in paths, file.path),
        )
        return [file for file in found if self._key(file) in self._files]

    def take(self, file: FoundFile) -> None:
        """Let a file be the candidate of no other segment."""
        self._files.pop(self._key(file))

    def _key(self, file: FoundFile) -> tuple[int, int]:
        return file.status.st_dev, file.status.st_ino


class _Reading:
    """Reads a file in chunks up to an offset, with what is needed to recognise it there."""

    def __init__(self, segment: Segment, end: int) -> None:
        self._segment = segment
        self._end = end
        self.offset = 0
        self.head = b""
        self.tail = b""

    def chunks(self, content: BinaryIO, source: SourceOptions) -> Iterator[Chunk]:
        """Yield the chunks before the end; `offset` stays behind it if no line ends there."""

        def read(size: int) -> bytes:
            block = content.read(min(size, self._end - read_bytes[0]))
            read_bytes[0] += len(block)
            self.head += block[: max(0, TAIL_BYTES - len(self.head))]
            self.tail = (self.tail + block)[-TAIL_BYTES:]
            return block

        read_bytes = [0]
        read_all = read_document_chunks if source.documents else read_chunks
        for numbered in read_all(self._segment.path, read, source.max_line):
            chunk = numbered.chunk
            if chunk.torn and content.read(1):
                return  # the end is in the middle of a line
            self.offset = chunk.end
            yield Chunk(
                self._segment,
                chunk.start,
                chunk.end,
                chunk.data,
                chunk.next,
                chunk.torn,
                chunk.rejected,
                chunk.documents,
            )


def save(journal: Journal, sink: SinkOptions, recovery: Recovery) -> tuple[RecoveredSegment, ...]:
    """Write what was found into the journal; return what is in it now.

    A file that the journal knows already, from another sink, keeps its segment there.
    """
    found = [each.record for each in recovery.found]
    same = journal.segments.load_files((), {record.inode for record in found})
    known = {(record.device, record.inode): record for record in same}
    ids = {record.id for record in journal.segments.recall({record.id for record in found})}
    saved: list[RecoveredSegment] = []
    fresh: list[SegmentRecord] = []
    reached: dict[int, Checkpoint] = {}
    quarantined: list[QuarantinedLine] = []
    identities: list[tuple[int, bytes, FileIdentity]] = []
    for each in recovery.found:
        record = known.get((each.record.device, each.record.inode), each.record)
        if record is each.record and record.id not in ids:
            fresh.append(record)
        if each.identity is not None and journal.identities.find(record.id) is None:
            identities.append((record.id, each.name, each.identity))
        reached[record.id] = each.reached
        if record.id == each.record.id:
            quarantined += each.quarantined
        saved.append(each)
    journal.segments.save(fresh)
    journal.identities.restore(identities)
    # a kill in between: the sink has not begun, and the next run asks for another recovery
    journal.commit(Commit(sink.name, None, {}, tuple(quarantined)), lambda _point: None)
    journal.sinks.begin(sink.name, destination_key_of(sink), reached)
    return tuple(saved)


def _add(segments: dict[int, StoredSegment], manifest: Manifest) -> None:
    for each in manifest.ranges:
        segment = segments.setdefault(
            each.segment, StoredSegment(each.segment, each.source, each.generation)
        )
        if manifest.redriven:
            segment.redriven.add(each.start)
            continue
        if not each.start or not segment.first_path:
            segment.first_path = each.path
        if each.end >= segment.end:
            segment.end = each.end
            segment.path, segment.generation = each.path, each.generation
            segment.device, segment.inode = each.device, each.inode
            segment.rules = manifest.rules
        if each.source_file:
            segment.source_generation = each.source_generation
        segment.ranges.append(each)


def _newest_first(segment: StoredSegment) -> tuple[int, int]:
    return -segment.generation, -segment.end


def _is_below(path: str, roots: Iterable[str]) -> bool:
    """Return whether a path is below a root and normalised: anybody may have written it."""
    return (
        "\0" not in path
        and os.path.normpath(path) == path
        and any(path.startswith(f"{root.rstrip('/')}/") for root in roots)
    )


def _stem(path: str) -> str:
    """Return the name up to its first dot: what a rotation or compression leaves as it is."""
    return os.path.basename(path).partition(".")[0]
