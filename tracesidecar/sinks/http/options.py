"""What the HTTP sink can be told: how a body looks, how large a request may be, who we are, and
what an answer means.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from tracesidecar.encode.lake_layout import RecordFormat
from tracesidecar.model import Compression
from tracesidecar.sinks.transport.http_auth import Header, Signature
from tracesidecar.sinks.transport.http_endpoint import EndpointOptions, content_headers
from tracesidecar.sinks.transport.http_responses import Verdict
from tracesidecar.units import Secret, Size

NOT_JSON = frozenset({"cef", "leef"})

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_OURS = frozenset({"content-encoding", "content-length", "transfer-encoding", "idempotency-key"})
_STATUS = re.compile(r"[2-5][0-9]{2}")
_LEAST_BYTES = 1024


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `http`.

    `body` is one record a line, or one JSON array. `max_bytes` (before compression) and
    `max_records` are the most that one request has. `status` says what an answer means where the
    usual reading of it is wrong. `probe` makes a HEAD request at start: it proves the way, and an
    answer of 401 stops the start. A `Content-Type` among `headers` stands for ours.
    """

    format: RecordFormat = "raw"
    body: Literal["lines", "array"] = "lines"
    max_bytes: Size | None = None
    max_records: Annotated[int, msgspec.Meta(ge=1)] | None = None
    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    signature: Signature | None = None
    status: dict[str, Verdict] = msgspec.field(default_factory=dict)
    probe: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_bytes is not None and self.max_bytes < _LEAST_BYTES:
            raise ValueError(
                f"max_bytes is less than {_LEAST_BYTES} B, in which no record has room"
            )
        if self.body == "array" and self.format in NOT_JSON:
            raise ValueError(
                f'body cannot be "array": a record of format {self.format} is not JSON'
            )
        if unknown := sorted(status for status in self.status if not _STATUS.fullmatch(status)):
            raise ValueError(
                f"status has {', '.join(unknown)}: expected numbers from 200 to 599, such as 409"
            )
        _check_headers(self.headers)
        if isinstance(self.auth, Header):
            _check_headers({self.auth.name: self.auth.value or Secret("")})

    def said_of_content(self, compression: Compression) -> dict[str, str]:
        """Make the headers that say what a body is, with those that are configured."""
        given = {name.lower() for name in self.headers}
        ours = content_headers(self._media_type(), compression)
        return {
            **self.headers,
            **{name: value for name, value in ours.items() if name.lower() not in given},
        }

    def _media_type(self) -> str:
        if self.body == "array":
            return "application/json"
        return "text/plain; charset=utf-8" if self.format in NOT_JSON else "application/x-ndjson"


def _check_headers(headers: dict[str, Secret]) -> None:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError("headers has a name that no header can have")
        if name.lower() in _OURS:
            raise ValueError(f"headers has {name}, which the sink itself sets")
        if not value.isprintable():
            raise ValueError(f"headers has a value for {name} that is not one line of text")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("headers has one name twice: upper and lower case are the same there")
