"""What a response means to the HTTP sink: as its status usually means, or as configured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks.transport import HttpResponse, raise_for_page, raise_for_status, unlike

BODY_LIMIT_BYTES = 16 << 10

Verdict = Literal["accept", "retry", "reject"]

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*:\s*(\S(?:.*\S)?))?")  # RFC 9110, 5.6.2


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`expect = { status = [200], header = "X-Stored: yes" }`: what an acknowledgement looks like.

    `status` replaces 2xx. `header` is the name of a header that must be there, or its name and
    value. Parameters after a semicolon count only if the value has some itself.
    """

    status: tuple[Annotated[int, msgspec.Meta(ge=200, le=599)], ...] | None = None
    header: str = ""

    def __post_init__(self) -> None:
        if self.status is not None and not self.status:
            raise ValueError("expect.status is empty: then nothing could be an acknowledgement")
        if self.header and _HEADER.fullmatch(self.header.strip()) is None:
            raise ValueError(
                'expect.header is neither the name of a header nor "Name: value" on one line'
            )

    def has_status(self, response: HttpResponse) -> bool:
        """Return whether the response has a status that is expected, by default any 2xx."""
        return response.is_success if self.status is None else response.status in self.status

    def has_header(self, response: HttpResponse) -> bool:
        """Return whether the response has the header that is expected, if one is."""
        if (match := _HEADER.fullmatch(self.header.strip())) is None:
            return True
        values = response.header_values(match[1])
        if match[2] is None:
            return bool(values)
        wanted = match[2].casefold()
        return any(
            wanted in {value.strip().casefold(), value.partition(";")[0].strip().casefold()}
            for value in values
        )


def raise_for_response(
    response: HttpResponse,
    where: str,
    verdicts: Mapping[str, Verdict],
    expectation: Expectation | None = None,
) -> None:
    """Return if the records are stored; otherwise raise Rejected or RetryLater.

    `verdicts` (the option `status`) says what a status means where it differs from the usual: some
    servers answer 409 to a repeat that they have stored already. `expectation` is the option
    `expect`. A page for people neither acknowledges nor rejects anything, unless a header is
    expected and there: then that header is the proof. Blocks for some milliseconds if the response
    is no acknowledgement.
    """
    expected = expectation or Expectation()
    verdict = verdicts.get(str(response.status))
    if verdict is None and not expected.has_status(response):
        _check_page(response, where, expected)
        raise_for_status(response, where)
        raise unlike(response, where, "expect.status does not have this status")
    if verdict == "accept" and not response.is_success:
        return  # the configuration accepts it, with the error page that such a status usually has
    if verdict in {None, "accept"}:
        _check_acknowledgement(response, where, expected)
        return
    answered = f"{response.describe(where)}, which the option status declares as {verdict}"
    if verdict == "reject":
        raise Rejected(response.rejection_reason(default="refused"), answered)
    raise RetryLater("status", answered, after_seconds=response.retry_after_seconds())


def _check_acknowledgement(response: HttpResponse, where: str, expected: Expectation) -> None:
    if not expected.has_header(response):
        raise unlike(
            response, where, f"it lacks the header that expect.header asks for, {expected.header}"
        )
    _check_page(response, where, expected)


def _check_page(response: HttpResponse, where: str, expected: Expectation) -> None:
    if expected.header and expected.has_header(response):
        return
    raise_for_page(
        response,
        where,
        "check url, and the proxies and logins between; if the server does answer so, set "
        + (
            'expect = { header = "Content-Type: text/html" }'
            if response.is_success
            else f'status = {{ "{response.status}" = "reject" }}'
        ),
    )
