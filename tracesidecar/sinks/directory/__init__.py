"""The directory destination: files in a folder."""

from tracesidecar.sinks.directory.options import Options
from tracesidecar.sinks.directory.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
