"""Clean chunks in, one planned batch out."""

from __future__ import annotations

import hashlib
import secrets
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from tracesidecar import __version__
from tracesidecar.batch.contents import ChunkPart, Contents, RejectedLine, begin_contents
from tracesidecar.batch.encoding import BatchSpec
from tracesidecar.batch.layout import manifest_name, object_file_name
from tracesidecar.batch.manifest import (
    MANIFEST_VERSION,
    Manifest,
    ManifestObject,
    ManifestRange,
    digest_last_line,
    encode_manifest,
)
from tracesidecar.batch.partitions import PartitionKey
from tracesidecar.dialects import SCHEMA_VERSION, DialectEvent
from tracesidecar.journal import (
    ObjectPart,
    Plan,
    PlannedObject,
    PlannedRecords,
    PlannedRejection,
    QuarantinedLine,
    make_quarantined_line,
)
from tracesidecar.model import Batch, Checkpoint, CleanChunk, Payload, Range, Record

MOST_PARTS = 20_000
"""How many parts a plan may list.

Lines of many days and dialects that alternate make many; without a list, objects that arrived
before a crash count only if all of them did.
"""


REJECTED_LINE_BYTES = 800
"""The memory that a rejected line takes in a batch, with its entry in the plan."""


EXPANSION = 4
"""How many times its size as lines a batch may have as events, before it is full by them alone.

A line becomes a row with some forty columns, several times as long if the line is short.
"""


RANGE_BYTES = 600
"""The memory that a range takes in a batch, in its plan and its manifest, beside its path."""


class BatchCapacity(NamedTuple):
    """When a batch is full: at a size before compression, a number of lines, or memory taken.

    Rejected lines count, too. The size is that of the lines, or of the encoded events if these have
    EXPANSION times as much.
    """

    size_bytes: int
    lines: int
    held_bytes: int


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A closed batch with its plan, ready to be sent.

    `batch` is None if every line was rejected or blank: then there is nothing to send, only to
    commit (a store still gets the manifest). `reached` has the checkpoint of each segment once the
    batch is committed. `lines` counts the lines that were accepted, whatever they became, and
    `displaced` the records of each source that are not in the partition of their day.
    """

    plan: Plan
    batch: Batch | None
    reached: dict[int, Checkpoint]
    quarantined: tuple[QuarantinedLine, ...]
    lines: int
    displaced: Mapping[str, int] = field(default_factory=dict)


class BatchBuilder:
    """The batch of one sink while it fills.

    Chunks of one segment come in order. The batch's time is that of the first chunk, by `clock`
    (seconds since the epoch).
    """

    def __init__(
        self,
        spec: BatchSpec,
        redriven: tuple[int, ...] = (),
        *,
        capacity: BatchCapacity | None = None,
        planned: Container[PartitionKey] | None = None,
        is_careful: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin a batch. `redriven` are the quarantine entries of its chunks, one each.

        Without a capacity it is never full. `planned` are the partitions of a plan that is made
        again otherwise than it was. `is_careful` is as for `begin_contents`.
        """
        self._spec = spec
        self._narrowing = spec.narrowing
        self._capacity = capacity
        self._redriven = redriven
        self._planned = planned
        self._is_careful = is_careful
        self._clock = clock
        self._began = 0.0
        self._contents: Contents | None = None
        self._ranges: list[Range] = []
        self._described: list[ManifestRange] = []
        self._quarantined: list[QuarantinedLine] = []
        self._redactions: Counter[str] = Counter()
        self._described_bytes = 0
        self._is_empty = True
        self._reached: dict[int, Checkpoint] = {}
        self._lines = 0
        self._failures = 0
        self._size_bytes = 0
        self._encoded_bytes = 0
        self._held_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether no chunk has been added."""
        return self._is_empty

    @property
    def is_full(self) -> bool:
        """Whether it has reached one of its limits."""
        capacity = self._capacity
        return (
            capacity is not None
            and not self._is_empty
            and (
                self._size_bytes >= capacity.size_bytes
                or self._encoded_bytes >= EXPANSION * capacity.size_bytes
                or self._lines + len(self._quarantined) >= capacity.lines
                or self.held_bytes >= capacity.held_bytes
            )
        )

    @property
    def reached(self) -> Mapping[int, Checkpoint]:
        """The checkpoint after the last chunk of each segment."""
        return self._reached

    @property
    def records(self) -> int:
        """How many records it has."""
        return self._contents.records if self._contents else 0

    @property
    def failures(self) -> int:
        """How many lines have an event on which its encoder fails."""
        return self._failures

    @property
    def lines(self) -> int:
        """How many lines were accepted."""
        return self._lines

    @property
    def size_bytes(self) -> int:
        """The size before compression."""
        return self._size_bytes

    @property
    def held_bytes(self) -> int:
        """The memory taken by what is encoded so far, by its ranges, and by rejected lines."""
        return (
            self._held_bytes + self._described_bytes + REJECTED_LINE_BYTES * len(self._quarantined)
        )

    def add_redriven(
        self, entry: int, clean: CleanChunk, label: str, events: Sequence[DialectEvent] = ()
    ) -> None:
        """Add a line that was rejected before, by the id of its quarantine entry."""
        self.add(clean, label, events)
        self._redriven += (entry,)

    def add(
        self,
        clean: CleanChunk,
        label: str,
        events: Sequence[DialectEvent] = (),
        state: bytes = b"",
    ) -> tuple[RejectedLine, ...]:
        """Add a chunk, with its events and the interpreter's state after it if the sink takes them.

        `label` is the path as it may leave the machine. Return the lines that have an event which
        becomes no record.
        """
        if self._contents is None:
            self._began = self._clock()
            self._contents = begin_contents(
                self._spec, int(self._began), self._planned, is_careful=self._is_careful
            )
            self._is_empty = False
        contents, segment, next_ = self._contents, clean.segment, clean.next
        before = contents.records
        rejected = contents.add(clean, events)
        self._failures += sum(bool(line.problem) for line in rejected)
        self._encoded_bytes = contents.encoded_bytes
        records = contents.records - before
        self._ranges.append(
            Range(segment.id, clean.start, clean.end, clean.digest, next_.digest, records)
        )
        self._describe(
            ManifestRange(
                segment.id,
                segment.source,
                label if self._narrowing is None else self._narrowing.path(label),
                segment.generation,
                clean.start,
                clean.end,
                clean.lines,
                len(clean.rejected),
                records,
                segment.device,
                segment.inode,
                digest_last_line(clean.data) if self._spec.content == "full" else "",
                segment.begin,
                *self._name_source(events),
            )
        )
        for rejection in clean.rejected:
            self._quarantined.append(make_quarantined_line(segment, rejection))
        for rule, count in clean.redactions:
            self._redactions[rule] += count
        self._reached[segment.id] = replace(next_, state=state) if state else next_
        self._lines += clean.lines
        self._size_bytes, self._held_bytes = contents.size_bytes, contents.held_bytes
        return rejected

    def _name_source(self, events: Sequence[DialectEvent]) -> tuple[str, int]:
        """Return how the events of a chunk name their file."""
        if not events:
            return "", 0
        event = events[0].event
        path = event.source_file or ""
        if self._narrowing is not None:
            path = self._narrowing.path(path)
        return path, event.generation or 0

    def quarantine(self, lines: Sequence[QuarantinedLine]) -> None:
        """Note lines that have a rejected record."""
        self._quarantined += lines

    def close(self, replayed: Plan | None = None) -> PreparedBatch:
        """Close the batch under a new id, or as a replay of a plan."""
        spec, contents = self._spec, self._contents
        batch_id = replayed.id if replayed else _new_id(self._began)
        host = replayed.host if replayed else spec.host
        at = replayed.time if replayed else int(self._began)

        is_store = spec.is_store
        file_name = object_file_name(host, at, batch_id, spec.extension) if is_store else ""
        bodies = contents.bodies() if contents else []
        single = contents.single_records() if contents else ()
        parts = contents.parts() if contents else ()
        payloads = tuple(
            self._payload(f"{partition}/{file_name}" if is_store else "", content, count, replayed)
            for partition, content, count in bodies
        )
        manifest = None
        if is_store:
            content = encode_manifest(self._manifest(batch_id, host, at, payloads))
            manifest = _json_payload(manifest_name(at, batch_id), content, replayed)
        records = contents.records if contents else 0
        plan = Plan(
            batch_id,
            spec.sink,
            at,
            host,
            spec.fingerprint,
            records,
            tuple(self._ranges),
            tuple(
                PlannedObject(payload.name, payload.planned)
                for payload in (*payloads, *((manifest,) if manifest else ()))
            ),
            self._redriven,
            manifest.content if manifest else b"",
            _object_parts(parts, [partition for partition, _, _ in bodies]),
            self._plan_records(single),
            self._plan_rejections(),
            replayed.schema if replayed else SCHEMA_VERSION,
        )
        batch = None
        if records or manifest:
            batch = Batch(
                batch_id,
                at,
                payloads,
                manifest,
                records,
                self._size_bytes,
                spec.fingerprint,
                single,
            )
        reached = {} if self._redriven else self._reached
        displaced = contents.displaced if contents else {}
        return PreparedBatch(plan, batch, reached, tuple(self._quarantined), self._lines, displaced)

    def _plan_records(self, records: Sequence[Record]) -> PlannedRecords:
        """Return the records for the plan, if the destination can be asked for them."""
        if not self._spec.keeps_records or self._contents is None:
            return PlannedRecords()
        offsets = self._contents.offsets()
        return PlannedRecords.of(
            [(record.id, offset) for record, offset in zip(records, offsets, strict=True)]
        )

    def _plan_rejections(self) -> tuple[PlannedRejection, ...]:
        """Return the lines for quarantine; a redriven line has its row already."""
        if self._redriven:
            return ()
        starts: dict[int, tuple[list[int], list[int]]] = {}
        for index, planned in enumerate(self._ranges):
            begins, indexes = starts.setdefault(planned.segment, ([], []))
            begins.append(planned.start)
            indexes.append(index)
        found: list[PlannedRejection] = []
        for line in self._quarantined:
            begins, indexes = starts[line.segment]
            at = max(0, bisect_right(begins, line.start) - 1)
            found.append(
                PlannedRejection(
                    indexes[at],
                    line.sink,
                    line.start,
                    line.end,
                    line.reason,
                    line.digest,
                    line.sealed,
                    line.sealed_at,
                )
            )
        return tuple(found)

    def _describe(self, new: ManifestRange) -> None:
        last = self._described[-1] if self._described else None
        if last is not None and last.segment == new.segment and last.end == new.start:
            sums = {
                name: getattr(last, name) + getattr(new, name)
                for name in ("lines", "refused", "records")
            }
            named = last if last.source_file else new
            self._described[-1] = msgspec.structs.replace(
                last,
                end=new.end,
                last=new.last or last.last,
                source_file=named.source_file,
                source_generation=named.source_generation,
                **sums,
            )
        else:
            self._described.append(new)
            self._described_bytes += RANGE_BYTES + 2 * (len(new.path) + len(new.source_file))

    def _payload(self, name: str, content: bytes, records: int, replayed: Plan | None) -> Payload:
        sha256 = hashlib.sha256(content).digest()
        is_parquet = self._spec.format == "parquet"
        return Payload(
            name,
            content,
            sha256,
            records,
            "application/vnd.apache.parquet" if is_parquet else "application/x-ndjson",
            "none" if is_parquet else self._spec.compression,
            _list_digests(name, sha256, replayed),
        )

    def _manifest(
        self, batch_id: str, host: str, at: int, payloads: tuple[Payload, ...]
    ) -> Manifest:
        spec = self._spec
        sources = {described.source for described in self._described}
        labels = {
            source: labels for source, labels in spec.labels.items() if source in sources and labels
        }
        return Manifest(
            version=MANIFEST_VERSION,
            batch=batch_id,
            sink=spec.sink,
            time=at,
            host=host,
            program=__version__,
            rules=spec.rules,
            fingerprint=spec.fingerprint,
            objects=tuple(
                ManifestObject(each.name, each.sha256.hex(), len(each.content), each.records)
                for each in payloads
            ),
            ranges=tuple(self._described),
            cuts=msgspec.Raw(msgspec.json.encode(dict(sorted(self._redactions.items())))),
            labels=msgspec.Raw(msgspec.json.encode(labels)),
            redriven=bool(self._redriven),
            format=spec.format,
        )


def _object_parts(parts: Sequence[ChunkPart], partitions: Sequence[str]) -> tuple[ObjectPart, ...]:
    """Return which lines are in which object, unless that is a longer list than is worth it."""
    if len(partitions) < 2 or len(parts) > MOST_PARTS:
        return ()
    objects = {partition: index for index, partition in enumerate(partitions)}
    return tuple(
        ObjectPart(objects[partition], *rest) for partition, *rest in parts if partition in objects
    )


def _json_payload(name: str, content: bytes, replayed: Plan | None) -> Payload:
    sha256 = hashlib.sha256(content).digest()
    return Payload(
        name,
        content,
        sha256,
        1,
        media_type="application/json",
        planned=_list_digests(name, sha256, replayed),
    )


def _new_id(now: float) -> str:
    """Make an id of 16 hex digits: the fraction of the second, then random digits.

    The names of one second therefore sort by time, too.
    """
    return f"{int(now % 1 * 65536):04x}{secrets.token_hex(6)}"


def _list_digests(name: str, sha256: bytes, replayed: Plan | None) -> tuple[bytes, ...]:
    """Return the digests under which the object may already exist: as planned, and as now."""
    before = (
        next((planned.sha256 for planned in replayed.objects if planned.name == name), ())
        if replayed
        else ()
    )
    return before if sha256 in before else (*before, sha256)
