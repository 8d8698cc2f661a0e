"""Why a line is rejected: the one table, which the documentation prints."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class RejectionReason(StrEnum):
    """A short label for metrics and quarantine; `meaning` explains it in a sentence."""

    meaning: str

    def __new__(cls, label: str, meaning: str) -> Self:
        """Attach the meaning to the label."""
        reason = str.__new__(cls, label)
        reason._value_ = label
        reason.meaning = meaning
        return reason

    NOT_JSON = "not_json", "The line is not a JSON value by RFC 8259."
    TWO_DOCUMENTS = "two_documents", "The line holds more than one JSON value."
    TRUNCATED = "truncated", "The line ends before its JSON value does."
    NUL = (
        "nul",
        "NUL bytes stand beside a record that `repair` saved (else it is `not_json`).",
    )
    UTF16 = "utf16", "The file is UTF-16: have it written as UTF-8, or convert it."
    INVALID_UTF8 = "invalid_utf8", "The bytes of the line are not UTF-8."
    LONE_SURROGATE = (
        "lone_surrogate",
        r"A \uD800-\uDFFF escape has no partner (`repair` replaces it by U+FFFD).",
    )
    NAN = "nan", "NaN or Infinity is used as a number (`repair` replaces it by null)."
    TOO_DEEP = (
        "too_deep",
        "The nesting is deeper than about 900 levels (400 if something must be redacted).",
    )
    TOO_LONG = "too_long", "The line is longer than the source's `max_line`."
    OVER_BUDGET = (
        "over_budget",
        "The line takes far more work to redact than its size allows: it was made to.",
    )
    REDACTION_FAILED = (
        "redaction_failed",
        "A redaction step failed on this line, so the line is withheld.",
    )
    NOT_ENCODABLE = (
        "not_encodable",
        "A sink's format has no record for this line: a fault of this program, please report it.",
    )
