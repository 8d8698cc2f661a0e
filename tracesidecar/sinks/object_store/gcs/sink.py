"""The Google Cloud Storage sink."""

from __future__ import annotations

from tracesidecar.sinks.object_store.gcs.client import GcsBucket
from tracesidecar.sinks.object_store.gcs.options import Options
from tracesidecar.sinks.object_store.objects import RemoteObjects
from tracesidecar.sinks.object_store.sink import ObjectStoreSink
from tracesidecar.sinks.sink import LAKE_ROW_BYTES, SinkType

__all__ = ["SINK_TYPE", "Options", "build", "open_objects"]


def build(options: Options) -> ObjectStoreSink:
    """Make the sink; google-cloud-storage is imported on entry."""
    return ObjectStoreSink(GcsBucket(options), options, options.where)


def destination(options: Options) -> str:
    """Name endpoint, bucket and prefix."""
    return f"gcs:{options.endpoint_url or 'google'}/{options.bucket}/{options.prefix.strip('/')}"


def lake_location(options: Options) -> str:
    """Name bucket and prefix as a URL."""
    return f"gs://{options.bucket}/{options.key_prefix}".rstrip("/")


def open_objects(options: Options) -> RemoteObjects:
    """Open what the sink has stored.

    Needs the rights to list and to read, and to put and delete where objects are rewritten.
    """
    return RemoteObjects(GcsBucket(options), options, options.where)


SINK_TYPE = SinkType(
    name="gcs",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="objects",
    promise="exactly once",
    record_limit_bytes=LAKE_ROW_BYTES,
    keeps_content=True,
    lake_location=lake_location,
    stored_objects=open_objects,
    extra="gcs",
    needs="google.cloud.storage",
)
