"""The options of a `[[sink]]` of type `datadog`."""

from __future__ import annotations

from typing import Literal

import msgspec

from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.transport import record_batches, require_one_source
from tracesidecar.sinks.transport.http_endpoint import EndpointOptions
from tracesidecar.units import Secret


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The intake, the API key, and what every log says about its origin.

    `url` is the intake of the Datadog site; `tags` become the `ddtags` of every log, and `source`
    its `ddsource`. The formats `raw` and `ecs` are not offered: they may have, or have, a field
    that Datadog takes as the time of the log, and it would drop old events.
    """

    url: str = "https://http-intake.logs.datadoghq.com/api/v2/logs"
    api_key: Secret | None = None
    api_key_file: str | None = None
    service: str = "tracesidecar"
    source: str = "tracesidecar"
    host: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    format: Literal["event", "ocsf", "cef", "leef", "otlp"] = "event"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auth is not None:
            raise ValueError("auth is not for Datadog: give api_key or api_key_file")
        require_one_source("api_key", self.api_key, self.api_key_file)

    @property
    def has_credentials(self) -> bool:
        """Whether requests have credentials: they always do."""
        return True
