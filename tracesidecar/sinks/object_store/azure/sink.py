"""The Azure Blob Storage sink."""

from __future__ import annotations

from typing import cast

from tracesidecar.sinks.object_store.azure.client import AzureContainer
from tracesidecar.sinks.object_store.azure.options import Options
from tracesidecar.sinks.object_store.sink import ObjectStoreSink
from tracesidecar.sinks.options import SinkOptions

__all__ = ["Options", "build", "destination"]


def build(options: SinkOptions) -> ObjectStoreSink:
    """Make the sink; azure-storage-blob is imported on entry."""
    options = cast("Options", options)
    return ObjectStoreSink(AzureContainer(options), options, options.where)


def destination(options: SinkOptions) -> str:
    """Name account, container and prefix."""
    options = cast("Options", options)
    return f"azure:{options.address}/{options.container}/{options.prefix.strip('/')}"
