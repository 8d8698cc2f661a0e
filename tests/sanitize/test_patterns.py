"""Python's regex engine can be made to run for hours, but not by the patterns used here."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tracesidecar.sanitize import patterns

PATTERNS = {name: value for name, value in vars(patterns).items() if isinstance(value, re.Pattern)}
BAIT = [
    '"',
    "\\",
    '\\"',
    "a",
    "a.",
    "A",
    "aA",
    "1",
    " ",
    "=",
    "a=",
    "x-",
    "${",
    "{{",
    "[",
    "<your",
    "%41",
    "%",
    "\\u0041",
    "&#x41;",
    "key ",
    "token",
    "@a.",
    "::",
    "-> a",
    "name: ",
    "Bearer ",
    "\x1b[",
    "/",
    "*",
]


# these run over texts of any length; all others match at one offset, or in a window of a few
# hundred bytes
SEARCHED = {
    "ANSI",
    "BLOCK_START",
    "BASE64_RUN",
    "BLANK",
    "BYTE_ESCAPES",
    "BYTE_ESCAPE_DIGITS",
    "CAMEL_END",
    "CAMEL_START",
    "COMPATIBLE",
    "ENTITY",
    "ESCAPE",
    "INVISIBLE",
    "LINE_WRAP",
    "MARKER_TEXT",
    "NAMED_ENTITY",
    "NOT_A_NUMBER",
    "NOT_WORD",
    "OVERSTRUCK",
    "PERCENT_EQUALS",
    "PERCENT_RUN",
    "QUOTED_PRINTABLE",
    "STRING_OR_NUMBER",
    "STREAM_END",
    "STREAM_END_KIND",
    "SURROGATE",
    "UNICODE_ESCAPES",
    "UNICODE_ESCAPE_DIGITS",
}


def seconds(name: str, text: str) -> float:
    pattern: re.Pattern[Any] = PATTERNS[name]
    subject = text.encode() if isinstance(pattern.pattern, bytes) else text
    started = time.process_time()
    if name in SEARCHED:
        for _ in pattern.finditer(subject):
            pass
    else:
        pattern.match(subject)
    return time.process_time() - started


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_linear_in_its_text(name: str) -> None:
    for bait in BAIT:
        small = max(seconds(name, bait * (4096 // len(bait))), 0.0005)
        assert seconds(name, bait * (65536 // len(bait))) < 64 * small, (
            bait
        )  # sixteen times the text; quadratic would be 256 times the time
