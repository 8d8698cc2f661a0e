"""A store as the daemon writes it: batches of invented events with their manifests, encoded by the
program's own code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.ddl.lakes import Rows, write
from tracesidecar.batch.layout import manifest_name
from tracesidecar.batch.manifest import (
    MANIFEST_VERSION,
    Manifest,
    ManifestObject,
    ManifestRange,
    encode_manifest,
)
from tracesidecar.ddl.lake_location import LakeFormat
from tracesidecar.lake.findings import StoreFinding
from tracesidecar.model import Compression

TIME = 1_788_307_200
"""2026-09-02, in seconds since the epoch."""


@dataclass
class Shipped:
    """Writes batch after batch of one segment below a folder."""

    root: Path
    form: LakeFormat = "json"
    host: str = "host"
    compression: Compression = "gzip"
    end: int = 0
    batches: list[Manifest] = field(default_factory=list)

    def batch(self, rows: Rows, *, rejected: int = 0, more: int = 1000) -> Manifest:
        """Ship a batch that takes `more` bytes of the segment."""
        number = len(self.batches)
        batch_id = hashlib.sha256(f"{self.host} {number}".encode()).hexdigest()[:16]
        objects = write(
            self.root, rows, self.form, f"{self.host}-20260902T000000Z-{batch_id}", self.compression
        )
        described = tuple(
            ManifestObject(
                name, hashlib.sha256(content).hexdigest(), len(content), count(name, rows)
            )
            for name, content in objects.items()
        )
        ranges = (
            ManifestRange(
                1,
                "agent",
                "/traces/one.jsonl",
                0,
                self.end,
                self.end + more,
                len(rows),
                rejected,
                len(rows),
            ),
        )
        self.end += more
        return self.put(
            Manifest(
                MANIFEST_VERSION,
                batch_id,
                "lake",
                TIME + number,
                self.host,
                "0",
                "rules",
                "print",
                described,
                ranges,
                msgspec.Raw(b"{}"),
                msgspec.Raw(b"{}"),
                False,
                "event",
            )
        )

    def put(self, manifest: Manifest) -> Manifest:
        """Write a manifest."""
        path = self.root / manifest_name(manifest.time, manifest.batch)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_manifest(manifest))
        self.batches.append(manifest)
        return manifest

    @property
    def names(self) -> list[str]:
        """The objects of all batches."""
        return [each.name for manifest in self.batches for each in manifest.objects]


def count(name: str, rows: Rows) -> int:
    """Return how many rows belong into the object of that name."""
    dt, dialect = (part.partition("=")[2] for part in name.split("/")[-3:-1])
    return sum(
        1 for each, event in rows if each == dialect and (event.event_time or "").startswith(dt)
    )


def kinds(findings: Iterable[StoreFinding]) -> list[str]:
    """Return the kinds of the findings, in order."""
    return [finding.kind for finding in findings]
