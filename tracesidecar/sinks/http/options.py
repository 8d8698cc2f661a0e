"""The options of a `[[sink]]` of type `http`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from tracesidecar.encode import RecordFormat
from tracesidecar.model import Compression
from tracesidecar.sinks.http.responses import Expectation, Verdict
from tracesidecar.sinks.transport import Signature
from tracesidecar.sinks.transport.http_endpoint import (
    EndpointOptions,
    carries_credentials,
    check_headers,
    content_headers,
)
from tracesidecar.units import Secret, Size

NOT_JSON = frozenset({"cef", "leef"})

_STATUS = re.compile(r"[2-5][0-9]{2}")
_SMALLEST_LIMIT_BYTES = 1024


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server, the shape and size of requests, and what responses mean.

    `body` is one record a line, or one JSON array. `max_bytes` (before compression) and
    `max_records` limit one request. `status` says what a status means where it differs from the
    usual, and `expect` what an acknowledgement looks like. `probe` makes a HEAD request at the
    start, which proves that the server can be reached; the sink does not start if the answer is
    401. A `Content-Type` in `headers` replaces ours.
    """

    format: RecordFormat = "raw"
    body: Literal["lines", "array"] = "lines"
    max_bytes: Size | None = None
    max_records: Annotated[int, msgspec.Meta(ge=1)] | None = None
    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    signature: Signature | None = None
    status: dict[str, Verdict] = msgspec.field(default_factory=dict)
    expect: Expectation | None = None
    probe: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_bytes is not None and self.max_bytes < _SMALLEST_LIMIT_BYTES:
            raise ValueError(
                f"max_bytes is less than {_SMALLEST_LIMIT_BYTES} B, too little for a record"
            )
        if self.body == "array" and self.format in NOT_JSON:
            raise ValueError(
                f'body cannot be "array": a record of format {self.format} is not JSON'
            )
        if unknown := sorted(status for status in self.status if not _STATUS.fullmatch(status)):
            raise ValueError(
                f"status has {', '.join(unknown)}: expected numbers from 200 to 599, such as 409"
            )
        check_headers(self.headers)

    @property
    def has_credentials(self) -> bool:
        """Whether requests have credentials, in a header or in the address."""
        return (
            super().has_credentials
            or self.signature is not None
            or carries_credentials(self.headers)
        )

    def body_headers(self, compression: Compression) -> dict[str, str]:
        """Return the headers that describe a body, together with the configured ones."""
        configured = {name.lower() for name in self.headers}
        described = content_headers(self._media_type(), compression)
        return {
            **self.headers,
            **{name: value for name, value in described.items() if name.lower() not in configured},
        }

    def _media_type(self) -> str:
        if self.body == "array":
            return "application/json"
        return "text/plain; charset=utf-8" if self.format in NOT_JSON else "application/x-ndjson"
