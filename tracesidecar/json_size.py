"""How many values a JSON text has, without decoding it: each takes far more memory than its bytes.

`{}` has 2 bytes, and is 72 in Python. So an agent that writes nothing but empty objects would make
the process outgrow any limit of its service, and be ended by the kernel with every attempt.
"""

from __future__ import annotations

import re

MOST_VALUES = 250_000
"""A text with more values is not decoded. In 2.5 MB of usual JSON there are so many."""

_SEPARATORS_AT_ONCE = 1000
_OTHER = rb'[^"\[{,]*+'
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SEPARATORS = re.compile(
    rb"(?:%b(?:%b%b)*+[\[{,]){%d}" % (_OTHER, _STRING, _OTHER, _SEPARATORS_AT_ONCE), re.DOTALL
)
"""So many commas and opening brackets outside of strings, and what is before them."""


def has_too_many_values(text: bytes) -> bool:
    """Return whether a valid JSON text has more than `MOST_VALUES` values, give or take 1,000.

    Each is behind a comma or an opening bracket. Takes no memory, and some ms per MB of a text that
    has that many of them.
    """
    if len(text) <= MOST_VALUES or sum(map(text.count, (b",", b"[", b"{"))) <= MOST_VALUES:
        return False
    separators = position = 0
    while separators <= MOST_VALUES and (found := _SEPARATORS.match(text, position)):
        separators += _SEPARATORS_AT_ONCE
        position = found.end()
    return separators > MOST_VALUES
