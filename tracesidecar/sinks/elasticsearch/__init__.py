"""The Elasticsearch and OpenSearch destination: documents by bulk requests."""

from tracesidecar.sinks.elasticsearch.options import Options
from tracesidecar.sinks.elasticsearch.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
