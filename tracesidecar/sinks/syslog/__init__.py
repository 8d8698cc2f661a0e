"""The syslog destination: RFC 5424 messages over TLS, TCP or UDP."""

from tracesidecar.sinks.syslog.options import Options
from tracesidecar.sinks.syslog.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
