"""The Splunk destination: events to the HTTP Event Collector."""

from tracesidecar.sinks.splunk.options import Options
from tracesidecar.sinks.splunk.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
