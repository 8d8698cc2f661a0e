"""The lake that a sink of objects has written: proving that it is complete, and compacting it.

`verify` reads everything once. A `Compactor` needs pyarrow, which is imported when it runs.
"""

from tracesidecar.lake.compact import Compacted, Compactor
from tracesidecar.lake.coverage import SegmentKey
from tracesidecar.lake.findings import Proof, StoreFinding
from tracesidecar.lake.records import manifests
from tracesidecar.lake.rewrite import MIN_MEMORY_BYTES, RewriteLimits
from tracesidecar.lake.rows import CannotRewrite
from tracesidecar.lake.verify import size_of, verify

__all__ = [
    "MIN_MEMORY_BYTES",
    "CannotRewrite",
    "Compacted",
    "Compactor",
    "Proof",
    "RewriteLimits",
    "SegmentKey",
    "StoreFinding",
    "manifests",
    "size_of",
    "verify",
]
