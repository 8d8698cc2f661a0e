"""What the intake's responses mean: logs are accepted by 2xx with an empty object or nothing."""

from __future__ import annotations

from typing import Literal

import msgspec

from tracesidecar.sinks.transport import (
    NOT_JSON,
    HttpResponse,
    raise_for_page,
    raise_for_status,
    unlike,
)

BODY_LIMIT_BYTES = 16 << 10


class _Accepted(msgspec.Struct, forbid_unknown_fields=True):
    """The documentation of "Send logs" has no field ("type: object"); some intakes say "ok"."""

    status: Literal["ok"] = "ok"


def raise_for_response(response: HttpResponse, where: str) -> None:
    """Return if the logs are accepted; otherwise raise Rejected or RetryLater.

    Blocks for some milliseconds if the response is not the intake's.
    """
    raise_for_page(response, where)
    raise_for_status(response, where, credential="api_key")
    if response.is_empty:
        return
    try:
        msgspec.json.decode(response.body, type=_Accepted)
    except NOT_JSON:  # not chained: its message may quote the response
        raise unlike(
            response,
            where,
            'the intake of Datadog would answer with nothing, {}, or {"status":"ok"}',
        ) from None
