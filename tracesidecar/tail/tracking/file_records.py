"""What the journal keeps of a file, and a file as the journal knows it."""

from __future__ import annotations

import os

from tracesidecar.model import BEGINNING, Checkpoint
from tracesidecar.tail.file_table import Directory, File
from tracesidecar.tail.segments import Protection, SegmentRecord, SegmentState


def revive_file(
    record: SegmentRecord, source: int, directory: Directory, reach: Checkpoint | None
) -> File:
    """Return a file as the journal knows it, read up to `reach`."""
    file = File(
        record.id,
        source,
        directory,
        os.path.basename(record.path),
        record.device,
        record.inode,
        record.generation,
        size=record.size,
        length=(
            max(record.size, record.length)
            if record.compression == "none" and record.state is not SegmentState.NEW
            else record.length
        ),
        modified_ns=record.modified_ns,
        changed_ns=record.changed_ns,
        prefix_length=record.prefix_length,
        prefix_digest=record.prefix_digest,
        state=record.state,
        compression=record.compression,
        loss=record.loss,
        is_whole=record.is_whole,
        origin=record.origin,
        begin=record.begin,
        recorded_protection=record.protection,
        can_link=record.can_link,
        place=record.place,
        former=record.former,
    )
    file.advance(reach or BEGINNING)
    return file


def record_file(file: File, source: str, protection: Protection) -> SegmentRecord:
    """Return what the journal keeps of a file of this source."""
    return SegmentRecord(
        id=file.id,
        source=source,
        path=file.path,
        device=file.device,
        inode=file.inode,
        generation=file.generation,
        compression=file.compression,
        size=file.size,
        prefix_length=file.prefix_length,
        prefix_digest=file.prefix_digest,
        modified_ns=file.modified_ns,
        changed_ns=file.changed_ns,
        state=file.state,
        loss=file.loss,
        length=_find_length(file),
        is_whole=file.is_whole,
        origin=file.origin,
        begin=file.begin,
        protection=protection,
        can_link=file.can_link,
        place=file.place,
        former=file.former,
    )


def _find_length(file: File) -> int:
    """Return the known length of a file: a reader may be ahead of the last look at it.

    The size in the record is larger only if the rest could not be read.
    """
    is_ahead = file.compression == "none" and file.reach_offset >= file.length
    return min(file.size, file.length) if is_ahead else file.length
