"""Sink types by name: which module, which extra it needs, and what it promises."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

if TYPE_CHECKING:
    from tracesidecar.sinks.options import SinkOptions
    from tracesidecar.sinks.sink import Sink

Promise = Literal["exactly once", "at least once", "kernel-acknowledged", "none"]


RECORD_FORMATS = ("raw", "event", "ecs", "ocsf", "cef", "leef", "otlp")
SYSLOG_FORMATS = ("raw", "event", "ecs", "ocsf", "cef", "leef")
STORE_FORMATS = (*RECORD_FORMATS, "parquet")
ROW_LIMIT_BYTES = 1 << 20
"""The most that a row of a lake has: what tables read without trouble (Athena takes 32 MB, a
laptop's tools less).
"""


ELASTICSEARCH_DOCUMENT_BYTES = 5_000_000
"""Half of a request of 10 MiB, because a line of format `raw` may double when it is written as
text.
"""


class SinkModule(Protocol):
    """What a sink's module offers. Importing it is cheap: a heavy client is imported only inside
    `build` or later.

    Where its options decide more than the registry can say, it also has `promise(options) ->
    Promise` or `record_limit(options) -> int`.
    """

    Options: type[SinkOptions]

    def build(self, options: SinkOptions) -> Sink:
        """Make the sink; nothing is opened before `async with`."""
        ...

    def destination(self, options: SinkOptions) -> str:
        """Name the destination, without credentials: a change under an old sink name is noticed by
        it.
        """
        ...


@dataclass(frozen=True, slots=True)
class SinkType:
    """What a sink takes and promises.

    `takes` objects: it keeps them by name, and gets a manifest. `formats` are those that make sense
    there; `keeps_content`: events go there whole unless the configuration says otherwise.
    `record_limit_bytes` is the most that the destination takes of one record (0: any). `needs` is
    the import that proves that the extra is installed.
    """

    module: str
    promise: Promise
    takes: Literal["objects", "body", "records"] = "records"
    formats: tuple[str, ...] = RECORD_FORMATS
    keeps_content: bool = False
    record_limit_bytes: int = 0
    extra: str = ""
    needs: str = ""

    def load(self) -> SinkModule:
        """Import the sink's module."""
        return cast("SinkModule", importlib.import_module(self.module))

    def is_installed(self) -> bool:
        """Tell whether what the sink needs can be imported, without importing it."""
        try:
            return not self.needs or importlib.util.find_spec(self.needs) is not None
        except ModuleNotFoundError:  # not even the package that it is in
            return False


SINK_TYPES: dict[str, SinkType] = {
    "azure": SinkType(
        "tracesidecar.sinks.object_store.azure.sink",
        "exactly once",
        "objects",
        STORE_FORMATS,
        keeps_content=True,
        record_limit_bytes=ROW_LIMIT_BYTES,
        extra="azure",
        needs="azure.storage.blob",
    ),
    "directory": SinkType(
        "tracesidecar.sinks.directory.sink",
        "exactly once",
        "objects",
        STORE_FORMATS,
        keeps_content=True,
        record_limit_bytes=ROW_LIMIT_BYTES,
    ),
    "elasticsearch": SinkType(
        "tracesidecar.sinks.elasticsearch.sink",
        "exactly once",
        formats=("ecs", "event", "ocsf", "raw"),
        record_limit_bytes=ELASTICSEARCH_DOCUMENT_BYTES,
    ),
    "gcs": SinkType(
        "tracesidecar.sinks.object_store.gcs.sink",
        "exactly once",
        "objects",
        STORE_FORMATS,
        keeps_content=True,
        record_limit_bytes=ROW_LIMIT_BYTES,
        extra="gcs",
        needs="google.cloud.storage",
    ),
    "http": SinkType("tracesidecar.sinks.http.sink", "at least once", "body"),
    "relp": SinkType(
        "tracesidecar.sinks.syslog.relp_sink", "at least once", formats=SYSLOG_FORMATS
    ),
    "kafka": SinkType(
        "tracesidecar.sinks.kafka.sink",
        "at least once",
        formats=("event", "ecs", "ocsf", "otlp", "raw"),
        extra="kafka",
        needs="confluent_kafka",
    ),
    "s3": SinkType(
        "tracesidecar.sinks.object_store.s3.sink",
        "exactly once",
        "objects",
        STORE_FORMATS,
        keeps_content=True,
        record_limit_bytes=ROW_LIMIT_BYTES,
        extra="s3",
        needs="boto3",
    ),
    "syslog": SinkType(
        "tracesidecar.sinks.syslog.sink", "kernel-acknowledged", formats=SYSLOG_FORMATS
    ),
    "sql": SinkType(
        "tracesidecar.sinks.sql.sink",
        "exactly once",
        formats=("event",),
        keeps_content=True,
        record_limit_bytes=ROW_LIMIT_BYTES,
        extra="sql",
    ),
    "stdout": SinkType("tracesidecar.sinks.stdout.sink", "none", "body"),
    "splunk": SinkType(
        "tracesidecar.sinks.splunk.sink", "at least once", record_limit_bytes=1_000_000
    ),
    "loki": SinkType("tracesidecar.sinks.loki.sink", "at least once", record_limit_bytes=256 << 10),
    "otlp": SinkType(
        "tracesidecar.sinks.otlp.sink",
        "at least once",
        formats=("otlp",),
        record_limit_bytes=(4 << 20) - 1024,
    ),
    "datadog": SinkType(
        "tracesidecar.sinks.datadog.sink",
        "at least once",
        formats=("event", "ocsf", "cef", "leef", "otlp"),
        record_limit_bytes=800_000,
    ),
}


def promise_of(options: SinkOptions) -> Promise:
    """What the sink promises with these options."""
    kind = SINK_TYPES[options.type]
    say: Callable[[SinkOptions], Promise] | None = getattr(kind.load(), "promise", None)
    return kind.promise if say is None else say(options)


def record_limit_of(options: SinkOptions) -> int:
    """The most bytes that one encoded record may have there; 0 for any."""
    kind = SINK_TYPES[options.type]
    say: Callable[[SinkOptions], int] | None = getattr(kind.load(), "record_limit", None)
    return kind.record_limit_bytes if say is None else say(options)


def content_of(options: SinkOptions) -> Literal["full", "metadata"]:
    """How much of each record the sink is given: lines as they stand are whole; else as configured,
    or as is usual for its type.
    """
    if options.content is not None:
        return options.content
    return (
        "full" if options.format == "raw" or SINK_TYPES[options.type].keeps_content else "metadata"
    )
