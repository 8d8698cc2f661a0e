"""The contract of a dialect: how its files are recognised, and what a line of one becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.parsing import JsonObject

MOST_EVENTS = 10_000
"""A line that would become more events becomes one, of kind `unknown`. The default batch of an
OpenTelemetry collector has 8,192 records.
"""

S = TypeVar("S", bound=msgspec.Struct)

EventFactory = Callable[[EventKind], Event]
"""Makes an event of a kind, with what all events of a line have in common."""


class UnknownType(Exception):
    """A line of a type that the dialect does not know.

    The event is shipped as `unknown`, with what the envelope of the line says, and counted by
    type.
    """

    def __init__(self, line_type: str, event: Event) -> None:
        """Report the native name of the type, and an event with what is known of the line."""
        super().__init__("a line type that the dialect does not know")
        self.line_type = line_type
        self.event = event


@dataclass(frozen=True, slots=True)
class Dialect(Generic[S]):
    """One format of traces.

    A dialect is pure: its functions depend on nothing but their arguments, and change nothing
    but the state that they are passed. Lines are redacted JSON: markers stand in place of
    secrets. `path` is the redacted path of the file. The functions are called in the worker
    thread.

    `recognise(path, line)` is called for the first lines of a file, one by one, until a dialect
    returns True. The first dialect in the order of the registry that does gets the file.

    `begin(file)` returns the state at the beginning of a file. What it takes from the path as the
    conversation comes from `file.name_conversation`. The state is passed from line to
    line, and the journal keeps it between two runs, encoded as `state`: keep it small and
    bounded, and give a renamed field its old name (`msgspec.field(name=…)`). Its `conversation`,
    if it has one, is that of every event that names none.

    `map_line(data, state)` returns the events of a line, none or more, always in the same
    order; of more than `MOST_EVENTS`, some more than these are enough. It sets only the columns
    that this line or an earlier one determines. The interpreter sets lineage, ids, computed cost,
    truncation and labels, and conversation and time if they are missing. If a line holds many
    records, each event may carry its own part as `raw`; otherwise the first event gets the line. It
    may raise UnknownType, and msgspec.ValidationError for a line of another shape, and nothing
    else.

    `bulky` are paths of keys whose values are not worth their bytes in a row: a stub replaces
    them if they are big. With `is_revised`, a message may come again under its id with more in it:
    each line of it is an event of its own.
    """

    name: str
    recognise: Callable[[str, JsonObject], bool]
    state: type[S]
    begin: Callable[[FileName], S]
    map_line: Callable[[bytes, S], Sequence[Event]]
    bulky: tuple[tuple[str, ...], ...] = ()
    is_revised: bool = False
