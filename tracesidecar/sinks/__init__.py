"""What a destination is, and which there are.

The contract of a sink, the configuration that all sinks share, and the sink types by name.

Each destination has a package of its own; the registry imports it when a configuration names it. A
sink makes one attempt to send a batch. Retries, bisection and the circuit breaker are in `deliver`.
"""

from tracesidecar.sinks.exposure import ClearText, Reach, reach_of, read_address
from tracesidecar.sinks.options import BatchLimits, SinkOptions, deciding_sinks
from tracesidecar.sinks.registry import (
    SINK_PACKAGES,
    build_sink,
    content_of,
    destination_key_of,
    destination_of,
    is_former_key,
    is_key_of,
    keeps_records,
    lake_location_of,
    open_stored_objects,
    promise_of,
    record_limit_of,
    show_destination,
    sink_type,
)
from tracesidecar.sinks.sink import (
    ConflictKeeper,
    DeliveryUnit,
    Receipt,
    RecordKeeper,
    Sink,
    Store,
    StoredObjects,
)

__all__ = [
    "SINK_PACKAGES",
    "BatchLimits",
    "ClearText",
    "ConflictKeeper",
    "DeliveryUnit",
    "Reach",
    "Receipt",
    "RecordKeeper",
    "Sink",
    "SinkOptions",
    "Store",
    "StoredObjects",
    "build_sink",
    "content_of",
    "deciding_sinks",
    "destination_key_of",
    "destination_of",
    "is_former_key",
    "is_key_of",
    "keeps_records",
    "lake_location_of",
    "open_stored_objects",
    "promise_of",
    "reach_of",
    "read_address",
    "record_limit_of",
    "show_destination",
    "sink_type",
]
