"""The OpenTelemetry destination: log records over OTLP/HTTP."""

from tracesidecar.sinks.otlp.options import Options
from tracesidecar.sinks.otlp.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
