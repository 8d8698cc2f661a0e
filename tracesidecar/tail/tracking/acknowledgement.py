"""What every required sink has of a segment, and what is released then."""

from __future__ import annotations

from tracesidecar.tail.file_table import FileTable
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import SegmentState
from tracesidecar.tail.tracking.landmarks import LandmarkKeeper
from tracesidecar.tail.tracking.lifecycle import Lifecycle


class Acknowledgements:
    """Notes how far each segment is delivered; what only protected those bytes is released."""

    def __init__(
        self,
        files: FileTable,
        held_files: HeldFiles,
        landmarks: LandmarkKeeper,
        lifecycle: Lifecycle,
        scan: ScanContext,
    ) -> None:
        self._files = files
        self._held_files = held_files
        self._landmarks = landmarks
        self._lifecycle = lifecycle
        self._scan = scan

    def acknowledge(self, segment: int, offset: int) -> None:
        """Acknowledge, as `Tailer.acknowledge`."""
        file = self._files.get(segment)
        if file is None:
            return
        file.acknowledge(offset)
        self._landmarks.renew(file)
        if not file.is_acknowledged:
            return
        if file.state is SegmentState.LOST:
            self._lifecycle.acknowledge_loss(file)
        elif file.damage is not None:
            self._scan.broken[segment] = file.damage.reason  # what is left of it is lost
        elif file.state is SegmentState.LIVE and file.is_read_to_end:
            self._held_files.settle(file)

    def retain(self, segments: frozenset[int]) -> None:
        """Retain, as `Tailer.retain`."""
        before = self._held_files.retain(segments)
        for segment in segments - before:
            file = self._files.get(segment)
            if file is not None:
                self._held_files.pin(file)
        for segment in before - segments:
            self.acknowledge(segment, 0)
