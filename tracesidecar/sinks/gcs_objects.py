"""The objects of a sink at Google Cloud Storage, to look at and to rewrite."""

from __future__ import annotations

from typing import cast

from tracesidecar.sinks.gcs_bucket import GcsBucket
from tracesidecar.sinks.gcs_options import Options
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.remote_objects import RemoteObjects


def objects(options: SinkOptions) -> RemoteObjects:
    """Look at what a sink of these options keeps; needs the rights to list and to read, and to delete where objects are rewritten."""
    options = cast("Options", options)
    return RemoteObjects(GcsBucket(options), options, options.where)
