"""What of a plan counts, if its source changed after some of its objects had arrived in a store.

What arrived counts object by object, what can still be read is sent under the plan's names, and
the rest is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import msgspec

from tracesidecar.batch import (
    Manifest,
    ManifestRange,
    PreparedBatch,
    decode_manifest,
    encode_manifest,
)
from tracesidecar.journal import LostBytes, ObjectPart, Plan, PlannedObject
from tracesidecar.model import Batch, Payload
from tracesidecar.pipeline.arrived import ArrivedRanges, Interval, merge_reached
from tracesidecar.pipeline.replay import ReplayedBatch, make_planned_manifest
from tracesidecar.pipeline.worker_context import WorkerContext


@dataclass(frozen=True, slots=True)
class Salvage:
    """What is left to send and to commit of a plan, and what is lost of it."""

    prepared: PreparedBatch
    lost: tuple[LostBytes, ...]


def salvage(
    context: WorkerContext, plan: Plan, replayed: ReplayedBatch, stored: AbstractSet[str]
) -> Salvage | None:
    """Return the rest of a plan of which only some ranges can be read; `stored` are its objects.

    None if nothing of it counts, or if nobody knows what is in the objects that arrived: then all
    of it is planned again.
    """
    if not plan.manifest:
        return None
    planned = decode_manifest(plan.manifest)
    names = {each.name for each in planned.objects}
    if plan.objects[-1].name in stored or (names and names <= stored):
        return _Remains(context, plan, planned, replayed, names).adopt()
    if not names & stored or not plan.parts:
        return None
    return _Remains(context, plan, planned, replayed, names & stored).rescue()


class _Remains:
    """A plan whose ranges cannot all be read, though some of its objects arrived."""

    def __init__(
        self,
        context: WorkerContext,
        plan: Plan,
        planned: Manifest,
        replayed: ReplayedBatch,
        arrived: AbstractSet[str],
    ) -> None:
        self._context = context
        self._plan = plan
        self._planned = planned
        self._made = replayed.prepared
        self._readable = replayed.readable
        self._arrived = arrived
        self._ranges = ArrivedRanges(context, plan, replayed.readable, self._find_name)

    def adopt(self) -> Salvage:
        """Adopt a plan whose objects have all arrived: only its manifest may be missing."""
        plan, made = self._plan, self._made
        arrived = {index: self._intervals(index) for index in range(len(plan.ranges))}
        reached, lost = self._ranges.advance(arrived)
        lines = sum(each.lines for each in self._planned.ranges)
        prepared = PreparedBatch(
            plan,
            _batch(plan, (), make_planned_manifest(plan, plan.manifest), lines),
            {} if plan.redriven else merge_reached(made.reached if made else {}, reached),
            (made.quarantined if made else ()) + self._ranges.reject(arrived),
            lines,
        )
        return Salvage(prepared, () if plan.redriven else lost)

    def rescue(self) -> Salvage:
        """Return what is left to send, with a manifest of what is there then."""
        plan, made = self._plan, self._made
        kept = [
            index
            for index in range(len(plan.ranges))
            if self._readable[index] or self._is_kept(index)
        ]
        unsent = made.batch.objects if made and made.batch else ()
        sent = tuple(each for each in unsent if each.name not in self._arrived)
        ranges = [*self._describe_kept(kept)]
        manifest = make_planned_manifest(plan, encode_manifest(self._manifest(sent, ranges)))
        arrived = {each: self._intervals(each) for each in kept if not self._readable[each]}
        reached, lost = self._ranges.advance(arrived)
        lines = sum(each.lines for each in ranges) + (made.lines if made else 0)
        prepared = PreparedBatch(
            self._make_plan(kept, sent, manifest),
            _batch(plan, sent, manifest, lines),
            {} if plan.redriven else merge_reached(made.reached if made else {}, reached),
            (made.quarantined if made else ()) + self._ranges.reject(arrived),
            lines,
        )
        return Salvage(prepared, () if plan.redriven else lost)

    def _parts(self, index: int) -> list[ObjectPart]:
        return [part for part in self._plan.parts if part.range == index]

    def _has_arrived(self, part: ObjectPart) -> bool:
        return self._plan.objects[part.object].name in self._arrived

    def _is_kept(self, index: int) -> bool:
        """Return whether some of an unreadable range arrived; of a redriven line, all of it."""
        found = [self._has_arrived(part) for part in self._parts(index)]
        if self._plan.redriven or self._ranges.is_away(self._plan.ranges[index]):
            return bool(found) and all(found)
        return any(found)

    def _describe_kept(self, kept: list[int]) -> Iterator[ManifestRange]:
        """Yield what arrived of the ranges that cannot be read."""
        described = {each.segment: each for each in self._planned.ranges}
        for index in kept:
            if self._readable[index]:
                continue
            whole = described[self._plan.ranges[index].segment]
            for part in filter(self._has_arrived, self._parts(index)):
                yield msgspec.structs.replace(
                    whole,
                    start=part.start,
                    end=part.end,
                    lines=part.lines,
                    refused=part.rejected,
                    records=part.records,
                )

    def _manifest(self, sent: tuple[Payload, ...], ranges: list[ManifestRange]) -> Manifest:
        batch = self._made.batch if self._made else None
        made = decode_manifest(batch.manifest.content) if batch and batch.manifest else None
        new = {each.name: each for each in (made.objects if made else ())}
        present = [each for each in self._planned.objects if each.name in self._arrived]
        return msgspec.structs.replace(
            made or self._planned,
            objects=(*present, *(new[each.name] for each in sent)),
            ranges=(*(made.ranges if made else ()), *ranges),
        )

    def _make_plan(self, kept: list[int], sent: tuple[Payload, ...], manifest: Payload) -> Plan:
        """Return the plan of what is left, in case the process ends once more."""
        plan = self._plan
        digests = {each.name: each.planned for each in (*sent, manifest)}
        places = {index: place for place, index in enumerate(kept)}
        return replace(
            plan,
            ranges=tuple(plan.ranges[index] for index in kept),
            objects=tuple(
                PlannedObject(
                    each.name, tuple(dict.fromkeys((*each.sha256, *digests.get(each.name, ()))))
                )
                for each in plan.objects
            ),
            redriven=tuple(plan.redriven[index] for index in kept) if plan.redriven else (),
            manifest=manifest.content,
            parts=tuple(
                replace(part, range=places[part.range])
                for part in plan.parts
                if part.range in places and (self._readable[part.range] or self._has_arrived(part))
            ),
            rejected=tuple(
                replace(each, range=places[each.range])
                for each in plan.rejected
                if each.range in places
            ),
        )

    def _intervals(self, index: int) -> list[Interval]:
        """Return what arrived of a range.

        That is all of a range without parts: if the batch has one object, it holds all lines;
        and lines that were all rejected are in none, but in the plan.
        """
        planned, parts = self._plan.ranges[index], self._parts(index)
        if not parts:
            return [Interval(planned.start, planned.end)]
        return [Interval(part.start, part.end) for part in parts if self._has_arrived(part)]

    def _find_name(self, segment: int) -> tuple[str, str]:
        """Return source and path of a segment as the manifest has them."""
        where = next(each for each in self._planned.ranges if each.segment == segment)
        return where.source, where.path


def _batch(plan: Plan, objects: tuple[Payload, ...], manifest: Payload, lines: int) -> Batch:
    size = sum(len(each.content) for each in objects)
    return Batch(plan.id, plan.time, objects, manifest, lines, size, plan.fingerprint)
