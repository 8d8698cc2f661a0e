"""Clean pieces in, one planned batch out."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from tracesidecar import __version__
from tracesidecar.batch.bodies import Contents, EncodedBody, Encoding, contents
from tracesidecar.batch.manifest import (
    MANIFEST_VERSION,
    Manifest,
    ManifestObject,
    ManifestRange,
    encode_manifest,
)
from tracesidecar.dialects import DialectEvent
from tracesidecar.journal.plan import Plan, PlannedObject, manifest_name, object_name
from tracesidecar.journal.quarantine import QuarantinedLine
from tracesidecar.journal.sealing import UNSEALED, Sealed
from tracesidecar.model import Batch, Checkpoint, CleanChunk, Payload, Range, Rejection, Segment


class LinePosition(NamedTuple):
    """Where an accepted line stood: its number in the chunk from 0, its offset in the segment and
    its length, in bytes without the newline.
    """

    number: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A clean chunk, with a keyed digest of the bytes it was made from, the checkpoint behind it,
    and where what was refused of it is sealed.

    `places` are where its lines stood, and `count` how many lines there were in all; both are there
    where somebody interprets.
    """

    clean: CleanChunk
    digest: bytes = field(repr=False)
    next: Checkpoint
    sealed: Sealed = UNSEALED
    places: tuple[LinePosition, ...] = ()
    count: int = 0

    @property
    def range(self) -> Range:
        """What it takes of its segment."""
        clean = self.clean
        return Range(
            clean.segment.id, clean.start, clean.end, self.digest, self.next.digest, clean.lines
        )

    @property
    def quarantined(self) -> tuple[QuarantinedLine, ...]:
        """The lines of it that validation refused."""
        return tuple(
            quarantined(self.clean.segment, "", refusal, self.sealed)
            for refusal in self.clean.rejected
        )


def quarantined(segment: Segment, sink: str, refusal: Rejection, sealed: Sealed) -> QuarantinedLine:
    """The row of a refused line."""
    place = segment.source, segment.path, segment.generation
    return QuarantinedLine(
        segment.id,
        sink,
        refusal.start,
        refusal.end,
        *place,
        refusal.reason,
        refusal.digest,
        *sealed.place(refusal.start),
    )


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """All that shapes the batches of one sink.

    `fingerprint` names what shapes the bytes; `labels` are per source and go into the manifest.
    """

    sink: str
    host: str
    form: Encoding
    fingerprint: str
    rules: str
    labels: dict[str, dict[str, str]]

    @property
    def is_store(self) -> bool:
        """Tell whether the sink keeps objects by name, with a manifest."""
        return self.form.takes == "objects"


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A closed batch. `batch` is None where every line was refused or blank: then there is nothing
    to send, only to commit; a store gets the manifest.

    `lines` counts the lines that passed, whatever they became.
    """

    plan: Plan
    batch: Batch | None
    reached: dict[int, Checkpoint]
    quarantined: tuple[QuarantinedLine, ...]
    lines: int


class BatchBuilder:
    """The batch of one sink while it fills. Pieces of one segment come in order; a batch of
    `redriven` lines has one quarantine entry a piece.

    Its time is that of the first piece, by `clock` (seconds since the epoch).
    """

    def __init__(
        self,
        form: BatchSpec,
        redriven: tuple[int, ...] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._form = form
        self._redriven = redriven
        self._clock = clock
        self._began = 0.0
        self._contents: Contents | None = None
        self._ranges: list[Range] = []
        self._described: list[ManifestRange] = []
        self._quarantined: list[QuarantinedLine] = []
        self._cuts: Counter[str] = Counter()
        self.reached: dict[int, Checkpoint] = {}
        self.lines = 0

    @property
    def is_empty(self) -> bool:
        """Nothing was taken yet."""
        return self._contents is None

    @property
    def size_bytes(self) -> int:
        """What was taken, before compression."""
        return self._contents.size_bytes if self._contents else 0

    @property
    def held_bytes(self) -> int:
        """Memory taken by what is encoded so far."""
        return self._contents.held_bytes if self._contents else 0

    def add_redriven(
        self, entry: int, piece: Piece, label: str, events: Sequence[DialectEvent] = ()
    ) -> None:
        """Take a line that was refused before, as a piece."""
        self.add(piece, label, events)
        self._redriven += (entry,)

    def add(
        self, piece: Piece, label: str, events: Sequence[DialectEvent] = (), state: bytes = b""
    ) -> tuple[int, ...]:
        """Take a piece, with its events and the interpreter's state behind it where somebody
        interprets; `label` is the path as it may leave.

        Return the offsets of lines that have a record over the sink's limit.
        """
        if self._contents is None:
            self._began = self._clock()
            self._contents = contents(self._form.form, int(self._began))
        clean, before = piece.clean, self._contents.records
        too_large = self._contents.add(clean, events)
        records = self._contents.records - before
        self._ranges.append(replace(piece.range, lines=records))
        segment = clean.segment
        place = segment.id, segment.source, label, segment.generation
        self._describe(
            ManifestRange(*place, clean.start, clean.end, clean.lines, len(clean.rejected), records)
        )
        self._quarantined += piece.quarantined
        for rule, count in clean.redactions:
            self._cuts[rule] += count
        self.reached[segment.id] = replace(piece.next, state=state) if state else piece.next
        self.lines += clean.lines
        return too_large

    def refuse(self, lines: Sequence[QuarantinedLine]) -> None:
        """Note lines that have a record which the sink cannot take."""
        self._quarantined += lines

    def _describe(self, new: ManifestRange) -> None:
        last = self._described[-1] if self._described else None
        if last is not None and last.segment == new.segment and last.end == new.start:
            sums = {
                name: getattr(last, name) + getattr(new, name)
                for name in ("lines", "refused", "records")
            }
            self._described[-1] = msgspec.structs.replace(last, end=new.end, **sums)
        else:
            self._described.append(new)

    def close(self, again: Plan | None = None) -> PreparedBatch:
        """Close the batch under a new id, or as a repeat of the plan `again`."""
        form, batch_id = self._form, again.id if again else _new_id(self._began)
        host, at = (again.host, again.time) if again else (form.host, int(self._began))
        filled, records = self._contents.finish() if self._contents else ([], ())
        payloads = tuple(self._payload(each, host, at, batch_id, again) for each in filled)
        manifest = self._manifest(batch_id, host, at, payloads, again) if form.is_store else None
        objects = tuple(
            PlannedObject(x.name, x.planned)
            for x in (*payloads, *((manifest,) if manifest else ()))
        )
        count = self._contents.records if self._contents else 0
        told = manifest.content if manifest else b""
        plan = Plan(
            batch_id,
            form.sink,
            at,
            host,
            form.fingerprint,
            count,
            tuple(self._ranges),
            objects,
            self._redriven,
            told,
        )
        batch = (
            Batch(
                batch_id, at, payloads, manifest, count, self.size_bytes, form.fingerprint, records
            )
            if count or manifest
            else None
        )
        return PreparedBatch(
            plan,
            batch,
            {} if self._redriven else self.reached,
            tuple(self._quarantined),
            self.lines,
        )

    def _payload(
        self, filled: EncodedBody, host: str, at: int, batch_id: str, again: Plan | None
    ) -> Payload:
        form = self._form.form
        name = (
            object_name(filled.partition, host, at, batch_id, form.extension)
            if self._form.is_store
            else ""
        )
        sha256 = hashlib.sha256(filled.content).digest()
        is_parquet = form.format == "parquet"
        media_type = "application/vnd.apache.parquet" if is_parquet else "application/x-ndjson"
        compression = "none" if is_parquet else form.compression
        return Payload(
            name,
            filled.content,
            sha256,
            filled.records,
            media_type,
            compression,
            _planned(name, sha256, again),
        )

    def _manifest(
        self, batch_id: str, host: str, at: int, payloads: tuple[Payload, ...], again: Plan | None
    ) -> Payload:
        form = self._form
        objects = tuple(
            ManifestObject(each.name, each.sha256.hex(), len(each.content), each.records)
            for each in payloads
        )
        sources = {r.source for r in self._described}
        manifest = Manifest(
            version=MANIFEST_VERSION,
            batch=batch_id,
            sink=form.sink,
            time=at,
            host=host,
            program=__version__,
            rules=form.rules,
            fingerprint=form.fingerprint,
            objects=objects,
            ranges=tuple(self._described),
            cuts=dict(sorted(self._cuts.items())),
            labels={
                source: labels
                for source, labels in form.labels.items()
                if source in sources and labels
            },
            redriven=bool(self._redriven),
            format=form.form.format,
        )
        content = encode_manifest(manifest)
        sha256, name = hashlib.sha256(content).digest(), manifest_name(at, batch_id)
        return Payload(
            name,
            content,
            sha256,
            1,
            media_type="application/json",
            planned=_planned(name, sha256, again),
        )


def _new_id(now: float) -> str:
    """16 hex digits: the fraction of the second, so that the names of one second sort by time too,
    then chance.
    """
    return f"{int(now % 1 * 65536):04x}{secrets.token_hex(6)}"


def _planned(name: str, sha256: bytes, again: Plan | None) -> tuple[bytes, ...]:
    """Under which digests the object may already be there: as it is now, and as it was planned
    before.
    """
    before = (
        next((planned.sha256 for planned in again.objects if planned.name == name), ())
        if again
        else ()
    )
    return (*before, sha256) if sha256 not in before else before
