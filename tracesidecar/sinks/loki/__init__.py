"""The Loki destination: log lines to the push API."""

from tracesidecar.sinks.loki.options import Options
from tracesidecar.sinks.loki.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
