"""Quarantine rows of lines that a sink rejects or that are too large for it."""

from __future__ import annotations

from collections.abc import Mapping

from tracesidecar.journal import QuarantinedLine, make_quarantined_line
from tracesidecar.model import CleanChunk
from tracesidecar.pipeline.line_locator import LineLocator


def list_rejected_lines(
    clean: CleanChunk, wanted: Mapping[int, str], sink: str, locator: LineLocator
) -> list[QuarantinedLine]:
    """Return the rows of accepted lines, given as index in the chunk → reason."""
    return [
        make_quarantined_line(clean.segment, rejection, sink)
        for rejection in locator.locate(clean, wanted)
    ]


def too_large_lines(
    clean: CleanChunk, offsets: tuple[int, ...], sink: str, locator: LineLocator
) -> list[QuarantinedLine]:
    """Return the rows of the lines that begin at these offsets: a record of them is too large."""
    wanted = {
        index: "too_large"
        for index, position in enumerate(clean.positions)
        if position.offset in offsets
    }
    return list_rejected_lines(clean, wanted, sink, locator)
