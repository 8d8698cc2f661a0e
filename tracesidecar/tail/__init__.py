"""Which trace files there are, which is which whatever happens to them, and their next whole lines.

`Tailer` is the way in: it finds files (`discovery`), reads them in chunks (`reading`), and follows
what becomes of them (`tracking`). Its sources are described by `SourceOptions`, its answers are
the values of `segments`.

`tracesidecar.tail.discovery.watcher` is not exported here: it imports watchdog, which only the
daemon needs.
"""

from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.glob import Exclusions, GlobPattern
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.descriptors import open_regular
from tracesidecar.tail.reading.hard_links import link_folder, link_folders, link_path
from tracesidecar.tail.segments import (
    READABLE_STATES,
    Loss,
    Protection,
    Scan,
    SegmentRecord,
    SegmentState,
    SegmentView,
    SourceSummary,
    is_protected,
    observe_protection,
)
from tracesidecar.tail.tailer import Tailer

__all__ = [
    "READABLE_STATES",
    "Exclusions",
    "Fingerprinter",
    "GlobPattern",
    "Loss",
    "Protection",
    "Scan",
    "SegmentRecord",
    "SegmentState",
    "SegmentView",
    "SourceOptions",
    "SourceSummary",
    "Tailer",
    "is_protected",
    "link_folder",
    "link_folders",
    "link_path",
    "observe_protection",
    "open_regular",
]
