"""Where rejected lines stand in their files, their quarantine rows, and their sealed bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import structlog

from tracesidecar.batch import RejectedLine
from tracesidecar.journal import QuarantinedLine, Vault, make_quarantined_line
from tracesidecar.model import CleanChunk, Rejection
from tracesidecar.sanitize import line_positions, printable
from tracesidecar.tail import Fingerprinter
from tracesidecar.tail.tailer import Tailer

log = structlog.get_logger()


class LineLocator:
    """Locates the lines of a chunk that a sink rejected, and seals rejected lines."""

    def __init__(self, tailer: Tailer, *, key: bytes, vault: Vault | None = None) -> None:
        """`vault` is where rejected bytes are sealed; without one they stay in the source only."""
        self._tailer = tailer
        self._fingerprinter = Fingerprinter(key)
        self._vault = vault

    def quarantine_lines(
        self, clean: CleanChunk, wanted: Mapping[int, str], sink: str
    ) -> list[QuarantinedLine]:
        """Return the rows of accepted lines that a sink rejects: index in the chunk → reason.

        Return an empty list if the bytes cannot be read any more.
        """
        return [
            make_quarantined_line(clean.segment, rejection, sink)
            for rejection in self._locate(clean, wanted)
        ]

    def quarantine_rejected(
        self, clean: CleanChunk, rejected: Sequence[RejectedLine], sink: str
    ) -> list[QuarantinedLine]:
        """Return the rows of lines that have an event which becomes no record."""
        failed = [line for line in rejected if line.problem]
        if failed:
            log.error(
                "sink.not_encodable",
                sink=sink,
                path=printable(clean.segment.path),
                offset=failed[0].offset,
                lines=len(failed),
                problem=failed[0].problem,
                remedy="report it; quarantine redrive delivers the lines once that is fixed",
            )
        reasons = {line.offset: line.reason for line in rejected}
        wanted = {
            index: reasons[position.offset]
            for index, position in enumerate(clean.positions)
            if position.offset in reasons
        }
        return self.quarantine_lines(clean, wanted, sink)

    def seal(
        self, segment: int, start: int, data: bytes, rejections: Sequence[Rejection]
    ) -> tuple[Rejection, ...]:
        """Seal the rejected lines of `data`, which begins at `start`; return where they are.

        A line that was too long to be read has no data, and stays a reference to the source.
        """
        if self._vault is None or not rejections or not data:
            return tuple(rejections)
        sealed = self._vault.seal(
            segment,
            [(each.start, data[each.start - start : each.end - start]) for each in rejections],
        )
        return tuple(
            replace(each, sealed=file, sealed_at=at)
            for each in rejections
            for file, at in (sealed.locate(each.start),)
        )

    def discard_sealed(self, files: Iterable[str]) -> None:
        """Remove sealed files whose lines were delivered; without a vault the next start does."""
        if self._vault is not None:
            self._vault.discard(files)

    def _locate(self, clean: CleanChunk, wanted: Mapping[int, str]) -> list[Rejection]:
        parts = (
            self._tailer.read_range(clean.segment.id, clean.start, clean.end) if wanted else None
        )
        if parts is None:
            return []
        data = b"".join(parts)
        positions = line_positions(clean, data)
        rejections = []
        for index, reason in sorted(wanted.items()):
            _, offset, length = positions[index]
            line = data[offset - clean.start : offset - clean.start + length]
            digest = self._fingerprinter.digest(line)
            rejections.append(Rejection(offset, offset + length, reason, digest))
        return list(self.seal(clean.segment.id, clean.start, data, rejections))
