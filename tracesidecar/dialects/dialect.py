"""What a dialect offers: how its files are known, and what a line of one becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.parsing import JsonObject

S = TypeVar("S", bound=msgspec.Struct)

EventFactory = Callable[[EventKind], Event]
"""Makes an event of a kind, with what all events of a line have in common."""


class UnknownType(Exception):
    """A line of a type that the dialect does not know.

    It is shipped as `unknown`, with what its envelope says, and counted by type.
    """

    def __init__(self, line_type: str, event: Event) -> None:
        """`line_type` is the native name of the type; `event` has what is known all the same."""
        super().__init__("a line type that the dialect does not know")
        self.line_type = line_type
        self.event = event


@dataclass(frozen=True, slots=True)
class Dialect(Generic[S]):
    """One way to write traces. All functions are pure but for the state they are handed.

    `recognise(path, line)` is asked of the first lines of a file, one by one, until some dialect
    says yes. Lines are redacted: what was cut is a marker. `path` is the label of the file
    (redacted). `begin(path)` makes the state of a file at its beginning; the state is carried from
    line to line, and kept between two runs as `state` encodes it: keep it small and bounded.
    `map_line(line, state)` gives 0..n events, in a fixed order. It sets only what the line says or an
    earlier line said: lineage, ids, cost from prices, shortening, labels, and time and conversation
    where the line has none are the interpreter's. Where a line holds many records, it may give each
    its own part of the line as `raw`; else the first event of the line gets the line. It may raise
    UnknownType, msgspec.ValidationError where the line has another shape, and nothing else. `bulky`
    are key paths of values that are not worth their bytes in a row: where they are big, a stub
    stands for them.
    """

    name: str
    recognise: Callable[[str, JsonObject], bool]
    state: type[S]
    begin: Callable[[str], S]
    map_line: Callable[[bytes, S], Sequence[Event]]
    bulky: tuple[tuple[str, ...], ...] = ()
