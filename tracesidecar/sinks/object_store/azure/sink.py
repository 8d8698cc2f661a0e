"""The Azure Blob Storage sink."""

from __future__ import annotations

from tracesidecar.sinks.object_store.azure.client import AzureContainer
from tracesidecar.sinks.object_store.azure.options import Options
from tracesidecar.sinks.object_store.objects import RemoteObjects
from tracesidecar.sinks.object_store.sink import ObjectStoreSink
from tracesidecar.sinks.sink import LAKE_ROW_BYTES, SinkType

__all__ = ["SINK_TYPE", "Options", "build", "open_objects"]


def build(options: Options) -> ObjectStoreSink:
    """Make the sink; azure-storage-blob is imported on entry."""
    return ObjectStoreSink(AzureContainer(options), options, options.where)


def destination(options: Options) -> str:
    """Name account, container and prefix."""
    return f"azure:{options.address}/{options.container}/{options.prefix.strip('/')}"


def lake_location(options: Options) -> str:
    """Name container and prefix as a URL."""
    return f"azure://{options.container}/{options.key_prefix}".rstrip("/")


def open_objects(options: Options) -> RemoteObjects:
    """Open what the sink has stored.

    Needs the rights to list and to read, and to put and delete where objects are rewritten.
    """
    return RemoteObjects(AzureContainer(options), options, options.where)


SINK_TYPE = SinkType(
    name="azure",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="objects",
    promise="exactly once",
    record_limit_bytes=LAKE_ROW_BYTES,
    keeps_content=True,
    lake_location=lake_location,
    stored_objects=open_objects,
    extra="azure",
    needs="azure.storage.blob",
)
