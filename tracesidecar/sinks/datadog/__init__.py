"""The Datadog destination: logs to the HTTP intake."""

from tracesidecar.sinks.datadog.options import Options
from tracesidecar.sinks.datadog.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
