"""What the HTTP Event Collector answers: codes, the number of an invalid event, acknowledgements.

The codes are those of Splunk's "Troubleshoot HTTP Event Collector". A proxy, or a token that is
wrong, may be answered in plain text.
"""

from __future__ import annotations

import msgspec

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks.transport import http_responses as http_answers
from tracesidecar.sinks.transport.http_client import Answer

ANSWER_BYTES = 1 << 20
NO_DATA = 5

_OF_AN_EVENT = {6: "invalid_format", 12: "no_event", 13: "blank_event", 15: "invalid_fields"}
_OF_THE_TOKEN = {
    1: ("credentials", "the token is disabled: enable it"),
    2: ("credentials", "it wants a token: mend token, or the file that it names"),
    3: (
        "credentials",
        "it does not understand the authorization: mend token, or the file that it names",
    ),
    4: ("credentials", "it does not know the token: mend token, or the file that it names"),
    7: (
        "index",
        "the token may not write to that index, or there is none: mend index, or the token's allowed indexes",
    ),
    10: ("channel", "no channel came through: check what stands between"),
    11: ("channel", "the channel did not come through as it was: check what stands between"),
    14: (
        "acknowledgement",
        "the token has no indexer acknowledgement: switch it on, or set acknowledge = false",
    ),
}
"""What a person must mend, whatever the events are.

Code 14 is one of these: it is no judgment of an event.
"""


class Said(msgspec.Struct):
    """The body of an answer, as far as it matters."""

    code: int | None = None
    ack_id: int | None = msgspec.field(default=None, name="ackId")
    invalid_event: int | None = msgspec.field(default=None, name="invalid-event-number")


class _Acks(msgspec.Struct):
    acks: dict[int, bool]


def read(answer: Answer) -> Said:
    """Return what was said; nothing where it is not the collector's JSON."""
    try:
        return msgspec.json.decode(answer.body, type=Said)
    except msgspec.MsgspecError:
        return Said()


def judge(answer: Answer, records: int, where: str) -> Said:
    """Return what was said for a yes to so many records; raise RetryLater, or Rejected with the
    record's index where it is named.
    """
    said = read(answer)
    if answer.status == 200 and said.code in {0, None}:
        return said
    if answer.status in http_answers.CREDENTIALS_REFUSED or (
        answer.status == 400 and said.code in _OF_THE_TOKEN
    ):
        reason, advice = _OF_THE_TOKEN.get(
            said.code or 0,
            ("credentials", "it refuses the credentials: mend token, or the file that it names"),
        )
        raise RetryLater(reason, f"{where} answered {answer.status}: {advice}")
    if answer.status == 400 and said.code in _OF_AN_EVENT:
        number = said.invalid_event
        named = (number,) if number is not None and 0 <= number < records else None
        raise Rejected(
            _OF_AN_EVENT[said.code], f"{where} answered 400 with code {said.code}", records=named
        )
    http_answers.judge(answer.status, answer.retry_after, where)
    raise RetryLater(
        "status", f"{where} answered {answer.status}, which is no answer of a collector: check url"
    )


def judge_question(answer: Answer, where: str, advice: str = "check url") -> None:
    """Raise RetryLater for what is no yes to a question: it is never a judgment of events."""
    try:
        judge(answer, 0, where)
    except Rejected as error:
        raise RetryLater("status", f"{error.detail}, to a question: {advice}") from None


def told(answer: Answer, where: str) -> list[int]:
    """Return the ids that are acknowledged; raise RetryLater for what is no answer to that
    question.
    """
    judge_question(answer, where, "check url, and whether the token has indexer acknowledgement")
    try:
        acks = msgspec.json.decode(answer.body, type=_Acks).acks
    except msgspec.MsgspecError:  # not chained: its message may quote the answer
        raise RetryLater(
            "acknowledgement",
            f"{where} does not say which events are indexed: check url and the token",
        ) from None
    return [ack_id for ack_id, is_indexed in acks.items() if is_indexed]


def ack_id(said: Said, where: str) -> int:
    """Return by which number to ask for the acknowledgement."""
    if said.ack_id is None:
        reason, advice = _OF_THE_TOKEN[14]
        raise RetryLater(reason, f"{where} gave no ackId: {advice}")
    return said.ack_id
