"""Clean pieces in, one planned batch out."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from tracesidecar import __version__
from tracesidecar.encode.jsonl import EXTENSIONS, LinesEncoder
from tracesidecar.model import Batch, Checkpoint, Clean, Compression, Payload, Range, Refusal, Segment
from tracesidecar.ship.plan import Plan, PlannedObject, manifest_name, object_name
from tracesidecar.ship.quarantine import QuarantinedLine
from tracesidecar.ship.sealing import UNSEALED, Sealed


@dataclass(frozen=True, slots=True)
class Piece:
    """A clean chunk, with a keyed digest of the bytes it was made from, the checkpoint behind it, and where what was refused of it is sealed."""

    clean: Clean
    digest: bytes = field(repr=False)
    next: Checkpoint
    sealed: Sealed = UNSEALED

    @property
    def range(self) -> Range:
        """What it takes of its segment."""
        clean = self.clean
        return Range(clean.segment.id, clean.start, clean.end, self.digest, self.next.digest, clean.lines)

    @property
    def quarantined(self) -> tuple[QuarantinedLine, ...]:
        """The lines of it that validation refused."""
        return tuple(quarantined(self.clean.segment, "", refusal, self.sealed) for refusal in self.clean.refused)


def quarantined(segment: Segment, sink: str, refusal: Refusal, sealed: Sealed) -> QuarantinedLine:
    """The row of a refused line."""
    place = segment.source, segment.path, segment.generation
    return QuarantinedLine(segment.id, sink, refusal.start, refusal.end, *place, refusal.reason, refusal.digest, *sealed.place(refusal.start))


@dataclass(frozen=True, slots=True)
class BatchForm:
    """All that shapes the batches of one sink. `fingerprint` names what shapes the bytes; `labels` are per source and go into the manifest."""

    sink: str
    host: str
    compression: Compression
    is_store: bool
    fingerprint: str
    rules: str
    labels: dict[str, dict[str, str]]


class _Range(msgspec.Struct, frozen=True):
    segment: int
    source: str
    path: str
    generation: int
    start: int
    end: int
    lines: int
    refused: int


class _Object(msgspec.Struct, frozen=True):
    name: str
    sha256: str
    bytes: int
    rows: int


class Manifest(msgspec.Struct, frozen=True):
    """What stands beside the objects of a batch: enough to prove from the store alone which bytes arrived, and by which rules.

    `redriven`: the ranges are lines that the ranges of earlier batches count as refused.
    """

    version: int
    batch: str
    sink: str
    time: int
    host: str
    program: str
    rules: str
    fingerprint: str
    objects: tuple[_Object, ...]
    ranges: tuple[_Range, ...]
    cuts: dict[str, int]
    labels: dict[str, dict[str, str]]
    redriven: bool


@dataclass(frozen=True, slots=True)
class Built:
    """A closed batch. `batch` is None where every line was refused or blank: then there is nothing to send, only to commit."""

    plan: Plan
    batch: Batch | None
    reached: dict[int, Checkpoint]
    quarantined: tuple[QuarantinedLine, ...]


class BatchBuilder:
    """The batch of one sink while it fills. Pieces of one segment come in order; a batch of `redriven` lines has one quarantine entry a piece."""

    def __init__(self, form: BatchForm, redriven: tuple[int, ...] = ()) -> None:
        self._form = form
        self._redriven = redriven
        self._encoder = LinesEncoder(form.compression)
        self._ranges: list[Range] = []
        self._described: list[_Range] = []
        self._quarantined: list[QuarantinedLine] = []
        self._cuts: Counter[str] = Counter()
        self.reached: dict[int, Checkpoint] = {}
        self.lines = 0
        self.size_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Nothing was taken yet."""
        return not self._ranges

    @property
    def held_bytes(self) -> int:
        """Memory taken by what is encoded so far."""
        return self._encoder.encoded_bytes

    def add_redriven(self, entry: int, piece: Piece, label: str) -> None:
        """Take a line that was refused before, as a piece."""
        self.add(piece, label)
        self._redriven += (entry,)

    def add(self, piece: Piece, label: str) -> None:
        """Take a piece; `label` is the segment's path as it may leave the machine."""
        clean = piece.clean
        self._encoder.add(clean.data)
        self._ranges.append(piece.range)
        segment = clean.segment
        self._describe(
            _Range(segment.id, segment.source, label, segment.generation, clean.start, clean.end, clean.lines, len(clean.refused)),
        )
        self._quarantined += piece.quarantined
        for rule, count in clean.cuts:
            self._cuts[rule] += count
        self.reached[segment.id] = piece.next
        self.lines += clean.lines
        self.size_bytes += len(clean.data)

    def _describe(self, new: _Range) -> None:
        last = self._described[-1] if self._described else None
        if last is not None and last.segment == new.segment and last.end == new.start:
            self._described[-1] = msgspec.structs.replace(last, end=new.end, lines=last.lines + new.lines, refused=last.refused + new.refused)
        else:
            self._described.append(new)

    def close(self, now: float, again: Plan | None = None) -> Built:
        """Close the batch at a time in seconds since the epoch, under a new id; or as a repeat of the plan `again`."""
        form, batch_id = self._form, again.id if again else _new_id(now)
        host, at = (again.host, again.time) if again else (form.host, int(now))
        payload = self._payload(object_name(host, at, batch_id, EXTENSIONS[form.compression]) if form.is_store else "", again)
        manifest = self._manifest(batch_id, host, at, payload, again) if form.is_store else None
        objects = tuple(PlannedObject(x.name, x.planned) for x in (payload, manifest) if x is not None)
        plan = Plan(batch_id, form.sink, at, host, form.fingerprint, self.lines, tuple(self._ranges), objects, self._redriven)
        batch = Batch(batch_id, at, (payload,), manifest, self.lines, self.size_bytes, form.fingerprint) if self.lines else None
        return Built(plan, batch, {} if self._redriven else self.reached, tuple(self._quarantined))

    def _payload(self, name: str, again: Plan | None) -> Payload:
        content = self._encoder.finish()
        sha256 = hashlib.sha256(content).digest()
        return Payload(name, content, sha256, self.lines, compression=self._form.compression, planned=_planned(sha256, again, 0))

    def _manifest(self, batch_id: str, host: str, at: int, payload: Payload, again: Plan | None) -> Payload:
        form = self._form
        objects = (_Object(payload.name, payload.sha256.hex(), len(payload.content), payload.records),)
        sources = {r.source for r in self._described}
        labels = {source: labels for source, labels in form.labels.items() if source in sources and labels}
        cuts = dict(sorted(self._cuts.items()))
        manifest = Manifest(
            1, batch_id, form.sink, at, host, __version__, form.rules, form.fingerprint, objects, tuple(self._described), cuts, labels, bool(self._redriven)
        )
        content = msgspec.json.encode(manifest) + b"\n"
        sha256 = hashlib.sha256(content).digest()
        return Payload(manifest_name(at, batch_id), content, sha256, 1, media_type="application/json", planned=_planned(sha256, again, 1))


def _new_id(now: float) -> str:
    """16 hex digits: the fraction of the second, so that the names of one second sort by time too, then chance."""
    return f"{int(now % 1 * 65536):04x}{secrets.token_hex(6)}"


def _planned(sha256: bytes, again: Plan | None, index: int) -> tuple[bytes, ...]:
    """Under which digests the object may already be there: as it is now, and as it was planned before."""
    before = again.objects[index].sha256 if again and index < len(again.objects) else ()
    return (*before, sha256) if sha256 not in before else before
