"""Where a sink that starts "now" begins in a file that could not be read then."""

from __future__ import annotations

from tracesidecar.journal import Journal
from tracesidecar.model import BEGINNING
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.tail import SegmentView
from tracesidecar.tail.tailer import Tailer


class LateBeginnings:
    """Finds the places once the files can be read: until then only their sizes are known."""

    def __init__(self, tailer: Tailer, journal: Journal) -> None:
        self._tailer = tailer
        self._journal = journal

    def settle(self, sink: SinkCursors, view: SegmentView) -> bool:
        """Return whether it is known where the sink begins; it is not while nobody can read that.

        It begins with the line that was being written. A file that is shorter by now was begun
        anew, and an archive had all of its lines.
        """
        segment = view.segment.id
        limit = sink.find_committed_checkpoint(segment)
        if limit.digest or not limit.offset:
            return True
        is_plain = view.compression == "none"
        if is_plain and view.size < limit.offset:
            at = BEGINNING
        else:
            at = self._tailer.find_end(segment, limit.offset if is_plain else None)
        if at.offset and not at.digest:
            return False
        self._journal.sinks.settle(sink.name, segment, at)
        sink.advance({segment: at})
        return True
