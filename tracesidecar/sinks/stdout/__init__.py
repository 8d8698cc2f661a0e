"""The stdout destination: lines to file descriptor 1."""

from tracesidecar.sinks.stdout.options import Options
from tracesidecar.sinks.stdout.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
