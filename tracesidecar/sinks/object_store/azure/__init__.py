"""The Azure Blob Storage destination."""

from tracesidecar.sinks.object_store.azure.options import Options
from tracesidecar.sinks.object_store.azure.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
