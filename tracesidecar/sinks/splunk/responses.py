"""What the HTTP Event Collector's responses mean.

They have a code, the number of an invalid event, or acknowledgements.

The codes are those of Splunk's "Troubleshoot HTTP Event Collector". A proxy, or the collector
itself if the token is wrong, may also answer in plain text.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tracesidecar.errors import Rejected, RetryAdvice, RetryLater
from tracesidecar.sinks.transport import (
    CREDENTIALS_REJECTED,
    NOT_JSON,
    HttpResponse,
    raise_for_page,
    raise_for_status,
    unlike,
)

BODY_LIMIT_BYTES = 1 << 20
NO_DATA = 5
_SUCCESS = 0
_ACK_DISABLED = 14

_EVENT_CODES = {6: "invalid_format", 12: "no_event", 13: "blank_event", 15: "invalid_fields"}
"""Codes that reject an event, and the reason that is recorded for it."""

_CREDENTIALS = "correct token, or the file that token_file names"
_TOKEN_CODES: Mapping[int, RetryAdvice] = {
    1: ("credentials", "the token is disabled; enable it in Splunk"),
    2: ("credentials", f"it asks for a token; {_CREDENTIALS}"),
    3: ("credentials", f"it does not understand the authorization; {_CREDENTIALS}"),
    4: ("credentials", f"it does not know the token; {_CREDENTIALS}"),
    7: (
        "index",
        "there is no such index, or it is not among the token's allowed indexes; correct either",
    ),
    10: ("channel", "the request's channel was lost on the way; check proxies and load balancers"),
    11: (
        "channel",
        "the request's channel was changed on the way; check proxies and load balancers",
    ),
    _ACK_DISABLED: (
        "acknowledgement",
        "the token has no indexer acknowledgement; enable it, or set acknowledge = false",
    ),
}
"""Codes about the token and the way to the collector, which a person must correct.

They come with status 400, like the codes about events. If code 14 ("ACK is disabled") were taken
as a rejection, a token without acknowledgement would put every event into quarantine.
"""


class HecResponse(msgspec.Struct):
    """The parts of a response's JSON that matter here."""

    code: int | None = None
    ack_id: int | None = msgspec.field(default=None, name="ackId")
    invalid_event: int | None = msgspec.field(default=None, name="invalid-event-number")

    def require_ack_id(self, where: str) -> int:
        """Return the number by which to ask for the acknowledgement; raise RetryLater without."""
        if self.ack_id is None:
            reason, advice = _TOKEN_CODES[_ACK_DISABLED]
            raise RetryLater(reason, f"{where} accepted events without an ackId: {advice}")
        return self.ack_id


class _Success(HecResponse, forbid_unknown_fields=True, kw_only=True):
    """`{"text":"Success","code":0}`, with nothing but what the collector documents.

    Other APIs have a `code` of 0, too, also for what has not been done.
    """

    text: str
    code: int


class _AckStatus(msgspec.Struct):
    acks: dict[int, bool]


def parse_response(response: HttpResponse) -> HecResponse:
    """Return the collector's JSON; an empty one if the body is something else."""
    try:
        return msgspec.json.decode(response.body, type=HecResponse)
    except NOT_JSON:
        return HecResponse()


def parse_accepted(response: HttpResponse, records: int, where: str) -> HecResponse:
    """Return the response to a request with so many records, if the collector accepted them.

    It says so by status 200, a text and code 0. Otherwise raise RetryLater, or Rejected, with the
    index of the record if the response names it. Blocks for some milliseconds if it is neither.
    """
    parsed = parse_response(response)
    if response.status == 200 and _is_success(response):
        return parsed
    raise_for_page(response, where)
    if response.status in CREDENTIALS_REJECTED or (
        response.status == 400 and parsed.code in _TOKEN_CODES
    ):
        reason, advice = _TOKEN_CODES.get(
            parsed.code or 0, ("credentials", f"it rejects the credentials; {_CREDENTIALS}")
        )
        raise RetryLater(reason, f"{where} answered {response.status}: {advice}")
    if response.status == 400 and parsed.code in _EVENT_CODES:
        number = parsed.invalid_event
        raise Rejected(
            _EVENT_CODES[parsed.code],
            f"{where} answered 400 with code {parsed.code}",
            records=(number,) if number is not None and 0 <= number < records else None,
        )
    raise_for_status(response, where)
    if parsed.code is None or parsed.code == _SUCCESS:
        raise unlike(
            response,
            where,
            'the collector of Splunk would answer 200 with {"text":"Success","code":0}',
        )
    raise RetryLater(
        "status",
        f"{where} answered {response.status} with code {parsed.code}, which does not mean success",
    )


def _is_success(response: HttpResponse) -> bool:
    try:
        return msgspec.json.decode(response.body, type=_Success).code == _SUCCESS
    except NOT_JSON:
        return False


def parse_ack_status(response: HttpResponse, where: str) -> list[int]:
    """Return the ack ids that are indexed; raise RetryLater if the response does not say."""
    try:
        acks = msgspec.json.decode(response.body, type=_AckStatus).acks
        is_answer = response.status == 200
    except NOT_JSON:  # not chained: its message may quote the response
        is_answer = False
    if not is_answer:
        raise_for_query(
            response, where, "check url, and whether the token has indexer acknowledgement"
        )
        raise unlike(
            response,
            where,
            "it does not say which events are indexed",
            "check url, and whether the token has indexer acknowledgement",
        )
    return [ack_id for ack_id, is_indexed in acks.items() if is_indexed]


def raise_for_query(response: HttpResponse, where: str, advice: str = "check url") -> None:
    """Return if a request without events succeeded; otherwise raise RetryLater, never Rejected."""
    try:
        parse_accepted(response, 0, where)
    except Rejected as error:
        raise RetryLater(
            "status", f"{error.detail} to a request without events; {advice}"
        ) from None
