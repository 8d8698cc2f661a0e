"""The S3 destination: Amazon S3, and other stores with its API."""

from tracesidecar.sinks.object_store.s3.options import Options
from tracesidecar.sinks.object_store.s3.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
