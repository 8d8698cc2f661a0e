"""The options of a `[[sink]]` of type `otlp`."""

from __future__ import annotations

import importlib.util
from typing import Literal

import msgspec

from tracesidecar.extras import install_command
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.transport import record_batches
from tracesidecar.sinks.transport.http_endpoint import (
    EndpointOptions,
    carries_credentials,
    check_headers,
)
from tracesidecar.units import Secret


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The receiver, and how requests to it are encoded.

    `url` is the whole address, which usually ends in `/v1/logs`. `headers` are sent with every
    request.
    """

    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    encoding: Literal["json", "protobuf"] = "json"
    format: Literal["otlp"] = "otlp"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_headers(self.headers)
        if self.encoding == "protobuf" and importlib.util.find_spec("opentelemetry") is None:
            raise ValueError(
                f'encoding = "protobuf" needs an extra; run: {install_command("otlp")}'
            )

    @property
    def has_credentials(self) -> bool:
        """Whether requests have credentials, in a header or in the address."""
        return super().has_credentials or carries_credentials(self.headers)
