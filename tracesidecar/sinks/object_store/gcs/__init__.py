"""The Google Cloud Storage destination."""

from tracesidecar.sinks.object_store.gcs.options import Options
from tracesidecar.sinks.object_store.gcs.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
