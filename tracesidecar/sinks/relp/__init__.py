"""The RELP destination: RFC 5424 messages that the server acknowledges."""

from tracesidecar.sinks.relp.options import Options
from tracesidecar.sinks.relp.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
