"""The Google Cloud Storage sink."""

from __future__ import annotations

from typing import cast

from tracesidecar.sinks.object_store.gcs.client import GcsBucket
from tracesidecar.sinks.object_store.gcs.options import Options
from tracesidecar.sinks.object_store.sink import ObjectStoreSink
from tracesidecar.sinks.options import SinkOptions

__all__ = ["Options", "build", "destination"]


def build(options: SinkOptions) -> ObjectStoreSink:
    """Make the sink; google-cloud-storage is imported on entry."""
    options = cast("Options", options)
    return ObjectStoreSink(GcsBucket(options), options, options.where)


def destination(options: SinkOptions) -> str:
    """Name endpoint, bucket and prefix."""
    options = cast("Options", options)
    return f"gcs:{options.endpoint_url or 'google'}/{options.bucket}/{options.prefix.strip('/')}"
