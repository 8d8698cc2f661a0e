"""Which trace files there are, which is which whatever happens to them, and their next whole lines.

`Tailer` is the way in: it finds files (`discovery`), reads them in chunks (`reading`), and follows
what becomes of them (`tracking`). Its sources are described by `SourceOptions`, its answers are
the values of `segments`.

`Tailer` (`tracesidecar.tail.tailer`), `build_tailer` (`tracesidecar.tail.build`) and
`tracesidecar.tail.discovery.watcher` are not exported here: only what follows files needs them, and
every command that reads a configuration imports this.
"""

from tracesidecar.tail.discovery.followed import FollowedPaths
from tracesidecar.tail.discovery.left_out import LeftOut, find_left_out
from tracesidecar.tail.discovery.owners import find_user
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.glob import Exclusions, GlobPattern, escape_glob, unescape_glob
from tracesidecar.tail.holding.arrivals import measure_arrivals
from tracesidecar.tail.holding.hard_links import (
    find_links,
    link_folder,
    link_folders,
    measure_links,
    set_aside_folders,
)
from tracesidecar.tail.limits import LimitName, ReachedLimit
from tracesidecar.tail.options import MAX_LINE, SourceOptions
from tracesidecar.tail.reading.chunker import ReadLimits, end_of_few_lines
from tracesidecar.tail.reading.document_chunker import DocumentChunker, find_end_of_documents
from tracesidecar.tail.reading.last_line import find_end_of_lines
from tracesidecar.tail.reading.plain_file import PlainFile
from tracesidecar.tail.segments import (
    BEFORE_ALL_SEGMENTS,
    READABLE_STATES,
    UNCOUNTED_REASONS,
    Folder,
    FormerFile,
    LinkedFiles,
    Loss,
    LossReason,
    MountIdentity,
    Protection,
    Rest,
    Rewrite,
    Scan,
    SegmentRecord,
    SegmentState,
    SegmentView,
    SkipReason,
    SourceSummary,
    UnreadablePath,
    UnreadFile,
    is_protected,
    observe_protection,
)
from tracesidecar.tail.source_roots import SourceRoots
from tracesidecar.tail.tracking.moved_files import find_moved
from tracesidecar.tail.tracking.rest_choice import find_rest

__all__ = [
    "BEFORE_ALL_SEGMENTS",
    "MAX_LINE",
    "READABLE_STATES",
    "UNCOUNTED_REASONS",
    "DocumentChunker",
    "Exclusions",
    "Fingerprinter",
    "Folder",
    "FollowedPaths",
    "FormerFile",
    "GlobPattern",
    "LeftOut",
    "LimitName",
    "LinkedFiles",
    "Loss",
    "LossReason",
    "MountIdentity",
    "PlainFile",
    "Protection",
    "ReachedLimit",
    "ReadLimits",
    "Rest",
    "Rewrite",
    "Scan",
    "SegmentRecord",
    "SegmentState",
    "SegmentView",
    "SkipReason",
    "SourceOptions",
    "SourceRoots",
    "SourceSummary",
    "Tree",
    "UnreadFile",
    "UnreadablePath",
    "end_of_few_lines",
    "escape_glob",
    "find_end_of_documents",
    "find_end_of_lines",
    "find_left_out",
    "find_links",
    "find_moved",
    "find_rest",
    "find_user",
    "is_protected",
    "link_folder",
    "link_folders",
    "measure_arrivals",
    "measure_links",
    "observe_protection",
    "set_aside_folders",
    "unescape_glob",
]
