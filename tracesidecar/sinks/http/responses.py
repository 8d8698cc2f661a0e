"""What a response means to the HTTP sink: as its status usually means, or as configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks.transport import HttpResponse, raise_for_status

Verdict = Literal["accept", "retry", "reject"]


def raise_for_response(response: HttpResponse, where: str, verdicts: Mapping[str, Verdict]) -> None:
    """Return if the records are stored; otherwise raise Rejected or RetryLater.

    `verdicts` (the option `status`) says what a status means where it differs from the usual: some
    servers answer 409 to a repeat that they have stored already.
    """
    verdict = verdicts.get(str(response.status))
    if verdict is None:
        raise_for_status(response, where)
        return
    if verdict == "accept":
        return
    answered = f"{response.describe(where)}, which the option status declares as {verdict}"
    if verdict == "reject":
        raise Rejected(response.rejection_reason(default="refused"), answered)
    raise RetryLater("status", answered, after_seconds=response.retry_after_seconds())
