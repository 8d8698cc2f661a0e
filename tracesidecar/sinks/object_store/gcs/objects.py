"""The objects of a sink at Google Cloud Storage, to look at and to rewrite."""

from __future__ import annotations

from tracesidecar.sinks.object_store.gcs.client import GcsBucket
from tracesidecar.sinks.object_store.gcs.options import Options
from tracesidecar.sinks.object_store.objects import RemoteObjects


def objects(options: Options) -> RemoteObjects:
    """Look at what a sink of these options keeps; needs the rights to list and to read, and to
    delete where objects are rewritten.
    """
    return RemoteObjects(GcsBucket(options), options, options.where)
