"""What is sent together under one id: clean chunks and their events in, a planned batch out.

`BatchSpec` says how the batches of a sink are shaped, `BatchBuilder` fills one, and the manifest
proves afterwards what a store received.
"""

from tracesidecar.batch.builder import BatchBuilder, BatchCapacity, PreparedBatch
from tracesidecar.batch.contents import RejectedLine, record_offsets
from tracesidecar.batch.encoding import BatchSpec, Encoding
from tracesidecar.batch.layout import manifest_name
from tracesidecar.batch.manifest import (
    MOST_MANIFEST_BYTES,
    Manifest,
    ManifestObject,
    ManifestRange,
    decode_manifest,
    digest_last_line,
    encode_manifest,
    require_counts,
    require_object,
)
from tracesidecar.batch.partitions import PartitionKey

__all__ = [
    "MOST_MANIFEST_BYTES",
    "BatchBuilder",
    "BatchCapacity",
    "BatchSpec",
    "Encoding",
    "Manifest",
    "ManifestObject",
    "ManifestRange",
    "PartitionKey",
    "PreparedBatch",
    "RejectedLine",
    "decode_manifest",
    "digest_last_line",
    "encode_manifest",
    "manifest_name",
    "record_offsets",
    "require_counts",
    "require_object",
]
