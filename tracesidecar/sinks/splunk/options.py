"""The options of a `[[sink]]` of type `splunk`."""

from __future__ import annotations

from typing import Literal

import msgspec

from tracesidecar.encode import RecordFormat
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.transport import record_batches, require_one_source
from tracesidecar.sinks.transport.http_endpoint import EndpointOptions
from tracesidecar.units import Seconds, Secret


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The collector, its token, and the metadata of events.

    `url` is the HTTP Event Collector's address, without the path of its endpoints. `acknowledge`
    waits until the events are indexed, which must be enabled for the token; events that are not
    acknowledged within `ack_timeout` are sent again. `fields` are indexed fields of every event.
    Without `source`, an event's source is the file that it was read from.
    """

    token: Secret | None = None
    token_file: str | None = None
    index: str = ""
    source: str = ""
    sourcetype: str = "tracesidecar"
    host: str = ""
    fields: dict[str, str] = msgspec.field(default_factory=dict)
    acknowledge: bool = False
    ack_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("2m"))
    ack_interval: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("1s"))
    format: RecordFormat = "event"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auth is not None:
            raise ValueError("auth is not for Splunk: give token or token_file")
        require_one_source("token", self.token, self.token_file)

    @property
    def has_credentials(self) -> bool:
        """Whether requests have credentials: they always do."""
        return True
