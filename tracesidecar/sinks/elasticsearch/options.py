"""The options of a `[[sink]]` of type `elasticsearch`."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from tracesidecar.sinks.elasticsearch.bulk_request import ElasticsearchFormat, IndexName
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.transport import record_batches
from tracesidecar.sinks.transport.http_endpoint import EndpointOptions
from tracesidecar.units import Size

_NAME = re.compile(r"(?:[a-z0-9]|\{dt\}|\{dialect\})(?:[a-z0-9._-]|\{dt\}|\{dialect\})*")


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The cluster, and the index or data stream.

    In `index` or `data_stream`, `{dt}` stands for the event's UTC date and `{dialect}` for its
    dialect; the default is the index `tracesidecar-<format>-{dt}`. `request_limit` counts before
    compression, as the server does. With `check_template` nothing is sent unless an index template
    matches the name, because the server would guess the types of fields.
    """

    format: ElasticsearchFormat = "ecs"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)
    index: str = ""
    data_stream: str = ""
    request_limit: Size = msgspec.field(default_factory=lambda: Size.parse("10MiB"))
    check_template: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.index and self.data_stream:
            raise ValueError("index and data_stream are both given; documents go to one of them")
        if not _NAME.fullmatch(self.index_name.template):
            raise ValueError(
                "index and data_stream may have lower-case letters, digits, . _ - and the "
                "placeholders {dt} and {dialect}"
            )

    @property
    def index_name(self) -> IndexName:
        """The name of the index or data stream that documents go to."""
        return IndexName(self.data_stream or self.index or f"tracesidecar-{self.format}-{{dt}}")
