"""The Kafka destination: a message for each record."""

from tracesidecar.sinks.kafka.options import Options
from tracesidecar.sinks.kafka.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
