"""The options of a `[[sink]]` of type `loki`."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from tracesidecar.encode import RecordFormat
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.transport import record_batches
from tracesidecar.sinks.transport.http_endpoint import EndpointOptions

LABELS_LIMIT = 12
"""Loki accepts 15 labels of a stream by default (`max_label_names_per_series`).

We add `host` and `dialect`, and Loki adds `service_name`.
"""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The push API, the tenant and the labels.

    `url` is the whole address of the push API. `tenant` is sent as `X-Scope-OrgID`. `labels` are
    added to every stream.
    """

    tenant: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    format: RecordFormat = "event"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tenant.isprintable():
            raise ValueError("tenant is not one line of text")
        if unfit := [name for name in self.labels if not _LABEL.fullmatch(name)]:
            raise ValueError(
                f"labels: {unfit[0]} is not the name of a label, which has letters, digits and _"
            )
        if len(self.labels) > LABELS_LIMIT:
            raise ValueError(f"labels: Loki accepts few; at most {LABELS_LIMIT} can be set here")
