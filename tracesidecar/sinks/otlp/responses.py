"""What a receiver's response means: all records accepted, some rejected, or no response of OTLP.

The OTLP specification 1.x, "OTLP/HTTP Response": status 200, and an ExportLogsServiceResponse in
the body, which may be empty.
"""

from __future__ import annotations

from typing import Literal

from tracesidecar.encode import count_rejected_records
from tracesidecar.sinks.transport import HttpResponse, raise_for_page, raise_for_status, unlike

BODY_LIMIT_BYTES = 64 << 10

Encoding = Literal["json", "protobuf"]


def parse_rejected(response: HttpResponse, sent: int, where: str) -> int:
    """Return how many of the records that were sent the receiver rejected, if it judged each.

    Raise Rejected if it rejects the request, and RetryLater if it is no response of OTLP, or none
    to this request. Blocks for some milliseconds then.
    """
    raise_for_page(response, where)
    raise_for_status(response, where)
    rejected = count_rejected_records(response.body, _encoding_of(response))
    if rejected is None or not response.is_whole:
        raise unlike(
            response, where, "a receiver of OTLP would answer with an ExportLogsServiceResponse"
        )
    if rejected > sent:
        raise unlike(response, where, f"it rejects {rejected} of {sent} records")
    return rejected


def _encoding_of(response: HttpResponse) -> Encoding:
    """Return how the body is encoded; some receivers answer in another encoding than the request's.

    If they do not declare it, the body shows it: protobuf never begins with a brace here.
    """
    if "json" in response.media_type or response.is_empty:
        return "json"
    if "protobuf" in response.media_type:
        return "protobuf"
    return "json" if response.body.lstrip().startswith(b"{") else "protobuf"
