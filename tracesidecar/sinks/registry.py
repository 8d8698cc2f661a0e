"""The sink types by name, each imported when it is first asked for.

They say what a configured sink promises, takes and keeps.
"""

from __future__ import annotations

import hashlib
import importlib

from tracesidecar.encode import Content
from tracesidecar.masking import describe_with_references, list_references
from tracesidecar.sanitize import redact_path
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.sink import Promise, Sink, SinkType, StoredObjects

SINK_PACKAGES: dict[str, str] = {
    "azure": "tracesidecar.sinks.object_store.azure",
    "directory": "tracesidecar.sinks.directory",
    "elasticsearch": "tracesidecar.sinks.elasticsearch",
    "gcs": "tracesidecar.sinks.object_store.gcs",
    "http": "tracesidecar.sinks.http",
    "relp": "tracesidecar.sinks.relp",
    "kafka": "tracesidecar.sinks.kafka",
    "s3": "tracesidecar.sinks.object_store.s3",
    "syslog": "tracesidecar.sinks.syslog",
    "sql": "tracesidecar.sinks.sql",
    "stdout": "tracesidecar.sinks.stdout",
    "splunk": "tracesidecar.sinks.splunk",
    "loki": "tracesidecar.sinks.loki",
    "otlp": "tracesidecar.sinks.otlp",
    "datadog": "tracesidecar.sinks.datadog",
}
"""Sink type → the package that declares it as `SINK_TYPE`. A new destination adds its line here."""

_DIGEST = " sha256:"


def sink_type(name: str) -> SinkType[SinkOptions]:
    """Import and return a sink type. Raise KeyError when there is none of that name.

    Its functions take the options of that type alone: narrow others with `SinkType.narrow`, or call
    the functions below.
    """
    declared: object = importlib.import_module(SINK_PACKAGES[name]).SINK_TYPE
    if not isinstance(declared, SinkType) or declared.name != name:
        raise TypeError(f"SINK_TYPE of {SINK_PACKAGES[name]} does not declare the sink type {name}")
    return declared


def build_sink(options: SinkOptions) -> Sink:
    """Make the sink; it opens nothing before `async with`."""
    found = sink_type(options.type)
    return found.build(found.narrow(options))


def destination_of(options: SinkOptions) -> str:
    """Name where the sink delivers, without values from elsewhere and without secrets.

    The path of a webhook is one, also where the configuration has it in clear. A name that cannot
    be made without a value is the references alone.
    """
    name = describe_with_references(options, sink_type(options.type).destination)
    kind, colon, place = (name or f"{options.type}:{' '.join(list_references(options))}").partition(
        ":"
    )
    return f"{kind}{colon}{redact_path(place)}"


def destination_key_of(options: SinkOptions) -> str:
    """Return what the state directory knows a destination by.

    It is its name, as `destination_of` returns it, and if values are masked in that, a digest of
    the real one: another value is another destination.
    """
    real, shown = _real_destination(options), destination_of(options)
    return real if shown == real else f"{shown}{_DIGEST}{_digest(real)}"


def show_destination(key: str) -> str:
    """Return the name of a destination from its key."""
    return key.partition(_DIGEST)[0]


def is_former_key(key: str | None, options: SinkOptions) -> bool:
    """Return whether a key names this destination as an earlier version did.

    Then it was not masked, or masked in another way.
    """
    if key is None or key == destination_key_of(options):
        return False
    real = _real_destination(options)
    return key == real or key.endswith(f"{_DIGEST}{_digest(real)}")


def is_key_of(key: str | None, options: SinkOptions) -> bool:
    """Return whether the state directory knows this destination by a key, new or former."""
    return key == destination_key_of(options) or is_former_key(key, options)


def _digest(destination: str) -> str:
    return hashlib.sha256(destination.encode()).hexdigest()[:16]


def _real_destination(options: SinkOptions) -> str:
    found = sink_type(options.type)
    return found.destination(found.narrow(options))


def promise_of(options: SinkOptions) -> Promise:
    """Return what the sink promises with these options."""
    found = sink_type(options.type)
    return found.promise if found.promise_of is None else found.promise_of(found.narrow(options))


def record_limit_of(options: SinkOptions) -> int:
    """Return the most bytes that one encoded record may have; 0 for any."""
    found = sink_type(options.type)
    if found.record_limit_of is None:
        return found.record_limit_bytes
    return found.record_limit_of(found.narrow(options))


def keeps_records(options: SinkOptions) -> bool:
    """Return whether the destination can be asked which records it has."""
    found = sink_type(options.type)
    return found.keeps_records is not None and found.keeps_records(found.narrow(options))


def content_of(options: SinkOptions) -> Content:
    """Return how much of each event the sink is given.

    Raw lines are always whole; events are as configured, or as is usual for the sink's type.
    """
    if options.content is not None:
        return options.content
    if options.format == "raw" or sink_type(options.type).keeps_content:
        return "full"
    return "metadata"


def lake_location_of(options: SinkOptions) -> str | None:
    """Name the folder, or the bucket and prefix as query engines write it.

    None when the sink keeps no objects.
    """
    found = sink_type(options.type)
    return None if found.lake_location is None else found.lake_location(found.narrow(options))


def open_stored_objects(options: SinkOptions) -> StoredObjects | None:
    """Open what the sink has stored, to verify or rewrite it; None when it keeps no objects."""
    found = sink_type(options.type)
    return None if found.stored_objects is None else found.stored_objects(found.narrow(options))
