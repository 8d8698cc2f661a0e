"""The HTTP destination: a POST for each batch to any server that answers 2xx."""

from tracesidecar.sinks.http.options import Options
from tracesidecar.sinks.http.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
