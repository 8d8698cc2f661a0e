"""The types of lines that are counted: what the interpreter names itself, and few that lines name.

A type is a word that the agent wrote, and becomes the label of a metric: on a page that needs no
credentials, in the journal, and in the memory of this process and of whoever scrapes it. So a
dialect has few of them.
"""

from __future__ import annotations

import re
from collections import defaultdict

UNPRICED = "unpriced"
"""A call whose model has no row in the price table."""
IMPLAUSIBLE_TOTAL = "implausible_total"
"""Usage that other figures contradict, or that no call can have: it is not counted as a call."""
UNPLACED_USAGE = "unplaced_usage"
"""Tokens of which nothing says what they cover, and so are in no sum."""
TOO_MANY_VALUES = "too_many_values"
TOO_MANY_EVENTS = "too_many_events"
UNEXPECTED_SHAPE = "unexpected_shape"
MAPPER_ERROR = "mapper_error"
OTHER = "other"
"""A type beyond the limit, or whose name is not like one."""

MOST_TYPES = 50
"""How many types each dialect may have beside our own names."""

_OWN = frozenset(
    (
        UNPRICED,
        IMPLAUSIBLE_TOTAL,
        UNPLACED_USAGE,
        TOO_MANY_VALUES,
        TOO_MANY_EVENTS,
        UNEXPECTED_SHAPE,
        MAPPER_ERROR,
        OTHER,
    )
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,47}")


class LineTypes:
    """The types that are counted by name: the first of each dialect."""

    def __init__(self) -> None:
        self._known: defaultdict[str, set[str]] = defaultdict(set)

    def admit(self, dialect: str, name: str) -> str:
        """Return the name under which a type is counted: its own, or OTHER."""
        known = self._known[dialect]
        if name in known or name in _OWN:
            return name
        if len(known) >= MOST_TYPES or _NAME.fullmatch(name) is None:
            return OTHER
        known.add(name)
        return name
