"""Turn the lines of one file into canonical events.

An interpreter recognises the file's dialect by its first lines, lets the dialect map each line, and
sets what no mapper needs to know: ids, position, redactions, conversation, time and cost.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from tracesidecar.dialects.dialect import MOST_EVENTS, Dialect, UnknownType
from tracesidecar.dialects.event import IDS_BY_PLACE, SCHEMA_VERSION, Event
from tracesidecar.dialects.file_name import FROM_PATH, name_project, owner_of_home
from tracesidecar.dialects.ids import EventIds, Ordinals
from tracesidecar.dialects.parsing import JsonObject
from tracesidecar.dialects.prices import price_call
from tracesidecar.dialects.providers import name_provider
from tracesidecar.dialects.registry import DIALECT_NAMES, GENERIC, load_dialect, load_dialects
from tracesidecar.dialects.state import (
    UNDECIDED,
    FileIdentity,
    FileState,
    UnreadableState,
    begin,
    decode_state,
)
from tracesidecar.dialects.tool_calls import join_result, set_target
from tracesidecar.dialects.truncate import (
    SHORT_BYTES,
    raw_column,
    shorten_state,
    truncate_columns,
)
from tracesidecar.json_size import MOST_VALUES, has_too_many_values
from tracesidecar.line_types import (
    IMPLAUSIBLE_TOTAL,
    MAPPER_ERROR,
    TOO_MANY_EVENTS,
    TOO_MANY_VALUES,
    UNEXPECTED_SHAPE,
    UNPLACED_USAGE,
    UNPRICED,
)
from tracesidecar.model import CleanChunk, LinePosition
from tracesidecar.redaction_marker import MARKER_PATTERN

LINES_TO_DECIDE = 20
"""How many first lines of a file are shown to the dialects before it counts as generic."""

MOST_TOKENS = 100_000_000
"""The most that a call may have read or written: ten times what any context holds."""
MOST_USD = 1_000_000.0
"""The most that a row may say that it cost."""

_PRICED = frozenset(("call", "session_total"))
_MARKER = re.compile(MARKER_PATTERN.encode())
_decode_object = msgspec.json.Decoder(dict[str, object]).decode


Identify = Callable[[bytes], FileIdentity]


def identify_alone(first: bytes) -> FileIdentity:
    """Return the identity of a file that is read by itself."""
    return FileIdentity("", first, 0)


class DialectEvent(NamedTuple):
    """An event and the name of the dialect that it comes from."""

    dialect: str
    event: Event


class Interpreter:
    """Interpret the files of one source.

    The same lines and state always give the same events. An interpreter keeps nothing between two
    calls, but is for one thread, because `observe` is.
    """

    def __init__(
        self,
        dialect: Dialect[msgspec.Struct] | None = None,
        *,
        source: str = "",
        labels: Mapping[str, str] | None = None,
        host: str | None = None,
        processed_by: str = "",
        observe: Callable[[str, str], None] = lambda _dialect, _type: None,
    ) -> None:
        """Interpret all files as `dialect`, or recognise each by its first lines if it is None.

        `source` is the id of the source, which is part of every event's id. `labels`, `host` and
        `processed_by` are columns of every event.
        `observe(dialect, type)` is called for each line of an unknown type, with the type as the
        line has it, and for each call without a known price (UNPRICED).
        """
        self._configured = dialect
        self._shared = _Shared(
            source,
            msgspec.json.encode(dict(labels), order="sorted").decode() if labels else None,
            host,
            processed_by,
        )
        self._observe = observe

    def __call__(
        self,
        label: str,
        clean: CleanChunk,
        state: bytes | None,
        identify: Identify | None = identify_alone,
    ) -> tuple[list[DialectEvent], bytes]:
        """Return the events of a chunk, at least one for each line, and the state after it.

        `label` is the redacted path of the file; `clean` has the positions of its lines. `state` is
        what the call for the previous chunk of the file returned, None at its beginning. Raise
        UnreadableState if it is damaged or comes from a later version.

        `identify` returns the identity of the file for the digest of its first line: the state may
        be that of a file that this one goes on after. If it is None, the events get the ids of
        version 1 of the schema, for a batch that was planned with them.
        """
        lines = clean.data.split(b"\n")
        file = decode_state(state) if state else None
        first = file.first if file is not None else b""
        if not first and clean.source_lines:
            first = _first_digest(clean, lines[0])
        if file is None:
            if identify is None:
                file = begin(label, FileIdentity("", first, 0), 1)
            else:
                file = begin(label, identify(first), SCHEMA_VERSION)
        elif identify is not None:
            file.identify(identify(first), SCHEMA_VERSION)
        else:
            file.first = first
        found: list[DialectEvent] = []
        mapped: list[_MappedLine] = []
        repaired = frozenset(clean.repaired)
        mapper = self._mapper(file) if self._is_decided(file) else None
        for line, position in zip(lines, clean.positions, strict=False):
            if mapper is None or file.dialect == UNDECIDED:
                recognised = self._recognise(file, line, position.number, mapper)
                if mapper is not None and recognised is not mapper:
                    found += mapper.complete(mapped, repaired)
                    mapped = []
                mapper = recognised
            mapped.append(mapper.map_line(line, position))
        mapper = mapper or self._mapper(file)
        found += mapper.complete(mapped, repaired)
        file.mapper = msgspec.msgpack.encode(mapper.state)
        file.lines += clean.source_lines
        return found, file.encode()

    def _is_decided(self, file: FileState) -> bool:
        return file.dialect != UNDECIDED or self._configured is not None

    def _mapper(self, file: FileState) -> _FileMapper:
        if file.dialect == UNDECIDED and self._configured is not None:
            file.dialect = self._configured.name
        dialect = self._dialect(file.dialect)
        try:
            state = (
                msgspec.msgpack.decode(file.mapper, type=dialect.state)
                if file.mapper
                else dialect.begin(file.name.add_mark())
            )
        except msgspec.DecodeError as error:
            raise UnreadableState(f"the state of {dialect.name} cannot be read") from error
        shorten_state(state, dialect.state)  # an earlier version had kept what a line said
        ids = EventIds(file, self._shared.source, dialect.name, is_revised=dialect.is_revised)
        return _FileMapper(dialect, state, file, ids, self._shared, self._observe)

    def _dialect(self, name: str) -> Dialect[msgspec.Struct]:
        if self._configured is not None and self._configured.name == name:
            return self._configured
        return load_dialect(name if name in DIALECT_NAMES else GENERIC)

    def _recognise(
        self, file: FileState, line: bytes, number: int, mapper: _FileMapper | None
    ) -> _FileMapper:
        """Show a line to all dialects, and return the mapper to go on with.

        `number` is that of the line in its chunk, and `mapper` that of the line before it. Lines
        before the one that is recognised stay generic.
        """
        try:
            members: JsonObject = {} if _is_too_large(line) else _decode_object(line)
        except (msgspec.DecodeError, RecursionError):
            members = {}
        for dialect in load_dialects():
            if _recognises(dialect, file.path, members):
                file.dialect, file.mapper = dialect.name, b""
                return self._mapper(file)
        mapper = mapper or self._mapper(file)
        if file.lines + number + 1 >= LINES_TO_DECIDE:
            file.dialect = mapper.dialect.name
        return mapper


def _is_too_large(line: bytes) -> bool:
    """Return whether a line would take too much memory if it was decoded."""
    return len(line) > MOST_VALUES and has_too_many_values(line)


class _Shared(NamedTuple):
    """What all events of a source share."""

    source: str
    labels: str | None
    host: str | None
    processed_by: str


class _MappedLine(NamedTuple):
    """The events of a line, and of each whether a line names its conversation."""

    line: bytes
    digest: str
    position: LinePosition
    events: Sequence[Event]
    named: Sequence[bool]
    ordinals: Ordinals


@dataclass(slots=True)
class _FileMapper:
    """Map the lines of one file: its dialect with its state, and what all its events share."""

    dialect: Dialect[msgspec.Struct]
    state: msgspec.Struct
    file: FileState
    ids: EventIds
    shared: _Shared
    observe: Callable[[str, str], None]

    def map_line(self, line: bytes, position: LinePosition) -> _MappedLine:
        """Return what a line says, not complete yet."""
        events = self._map(line)
        named = [self._set_lineage(event) for event in events]
        if len(line) > SHORT_BYTES:
            shorten_state(self.state, self.dialect.state)
        return _MappedLine(line, hashlib.sha256(line).hexdigest(), position, events, named, {})

    def complete(
        self, mapped: Sequence[_MappedLine], repaired: Container[int]
    ) -> list[DialectEvent]:
        """Return the complete events of lines; some of these may begin at `repaired` offsets."""
        shared = self.shared
        placed = [
            (event, is_named, each)
            for each in mapped
            for event, is_named in zip(each.events, each.named, strict=True)
        ]
        for each in mapped:
            self._relate(each)
        truncated = [truncate_columns(event, len(each.line)) for event, _, each in placed]
        raws = [raw_column(each.line, self.dialect.bulky) for each in mapped]
        for event, _, each in placed:
            event.line_sha256 = each.digest
        ids = [
            self.ids.make(
                event, each.ordinals, each.position.offset, each.digest, is_named=is_named
            )
            for event, is_named, each in placed
        ]
        columns = zip(truncated, ids, strict=True)
        owner = owner_of_home(self.file.path)
        for (line, _, position, events, _, _), (raw, is_raw_truncated) in zip(
            mapped, raws, strict=True
        ):
            count, kinds = _redactions(line)
            is_repaired = position.offset in repaired
            for event in events:
                is_truncated, event.event_id = next(columns)
                event.schema_version = SCHEMA_VERSION
                event.source_file = self.file.path
                event.source_line = self.file.lines + position.number + 1
                event.source_offset, event.line_bytes = position.offset, position.length
                event.line_state = "repaired" if is_repaired else "ok"
                event.redaction_count, event.redaction_kinds = count, kinds
                event.truncated = (
                    is_truncated
                    or bool(event.truncated)
                    or (is_raw_truncated and event is events[0])
                )
                event.labels, event.host_name = shared.labels, event.host_name or shared.host
                if event.user_id is not None:
                    event.user_source = "line"
                elif owner is not None:
                    event.user_id, event.user_source = owner, "home"
                if event.provider_name is not None:
                    event.provider_name = name_provider(event.provider_name)
                place = event.git_repository or event.cwd
                if place is not None and event.project is None:
                    event.project = name_project(place)
                event.generation, event.processed_by = self.file.generation, shared.processed_by
            for event in events:
                if event.raw is not None:
                    break
            else:
                events[0].raw = raw
        self._price(
            [
                event
                for event, _, _ in placed
                if event.usage_scope in _PRICED and event.cost_usd is None
            ]
        )
        return [DialectEvent(self.dialect.name, event) for event, _, _ in placed]

    def _relate(self, mapped: _MappedLine) -> None:
        """Set what the tools of a line touch, and what its events have in common with others."""
        call: Event | None = None
        for event in mapped.events:
            if event.tool_arguments is not None:
                set_target(event)
            if event.usage_scope is not None or event.duration_ms is not None:
                self._doubt(event)
            elif event.input_tokens is not None or event.output_tokens is not None:
                self.observe(self.dialect.name, UNPLACED_USAGE)
            if event.event_kind == "tool_call" and call is not None:
                # the message that asks for a tool is the model's answer
                if event.api_call_id is None and event.native_id == call.native_id is not None:
                    event.api_call_id = call.api_call_id
            elif call is None and event.api_call_id is not None:
                call = event
            if event.tool_call_id is not None:
                join_result(event, event.tool_call_id, mapped.position.offset, self.file.calls)

    def _doubt(self, event: Event) -> None:
        """Do not believe what no call can have; count it."""
        if event.duration_ms is not None and event.duration_ms < 0:
            event.duration_ms = None
        if event.cost_usd is not None and not 0 <= event.cost_usd <= MOST_USD:
            event.cost_usd = event.cost_source = None
        if event.usage_scope == "call" and (
            (event.input_tokens or 0) > MOST_TOKENS or (event.output_tokens or 0) > MOST_TOKENS
        ):
            event.usage_scope = "implausible"
        if event.usage_scope == "implausible":
            self.observe(self.dialect.name, IMPLAUSIBLE_TOTAL)

    def _price(self, calls: Sequence[Event]) -> None:
        """Set the cost of calls that do not say it, if the prices of their models are known."""
        for event, found in zip(calls, [price_call(each) for each in calls], strict=True):
            if found is not None:
                event.cost_usd, event.cost_source = found
            elif event.model is not None and event.usage_scope == "call":
                self.observe(self.dialect.name, UNPRICED)

    def _map(self, data: bytes) -> Sequence[Event]:
        """Return what the dialect makes of a line.

        A line that it does not understand becomes an `unknown` event, so that no line is lost.
        """
        if _is_too_large(data):
            self.observe(self.dialect.name, TOO_MANY_VALUES)
            return (Event(event_kind="unknown", truncated=True),)
        try:
            found = self.dialect.map_line(data, self.state) or (Event(event_kind="state"),)
            if len(found) <= MOST_EVENTS:
                return found
            self.observe(self.dialect.name, TOO_MANY_EVENTS)
            return (Event(event_kind="unknown", truncated=True),)
        except UnknownType as unknown:
            self.observe(self.dialect.name, unknown.line_type)
            return (unknown.event,)
        except msgspec.ValidationError:
            self.observe(self.dialect.name, UNEXPECTED_SHAPE)
        # A mapper's bug on one line must not stop the file. The error may quote the line, so it is
        # counted and not logged.
        except Exception:  # noqa: BLE001 - see above
            self.observe(self.dialect.name, MAPPER_ERROR)
        return (Event(event_kind="unknown"),)

    def _set_lineage(self, event: Event) -> bool:
        """Set conversation and time: from the line, else from an earlier line, else from the path.

        If there is no time at all, the batch sets it. Return whether a line names the conversation.
        """
        file = self.file
        conversation = event.conversation_id
        if conversation is None and file.schema >= IDS_BY_PLACE:
            conversation = _conversation_of(self.state)
        is_named = False
        if conversation is None:
            event.conversation_id = file.conversation
        elif conversation.startswith(FROM_PATH):
            _clear_mark(event, conversation)
        else:
            # an empty one names none: a program writes it where no conversation is under way
            event.conversation_id, is_named = conversation, conversation != ""
        if event.parent_conversation_id is not None:
            event.parent_conversation_id = event.parent_conversation_id.removeprefix(FROM_PATH)
        if event.event_time is not None:
            file.time = event.event_time
            event.event_time_source = event.event_time_source or "line"
        elif file.time is not None:
            event.event_time, event.event_time_source = file.time, "carried"
        return is_named


def _clear_mark(event: Event, marked: str) -> None:
    """Remove the mark of a conversation that only the path names, also where an id has it."""
    plain = event.conversation_id = marked.removeprefix(FROM_PATH)
    if event.agent_id is not None:
        event.agent_id = event.agent_id.replace(marked, plain)
    if event.api_call_id is not None:
        event.api_call_id = event.api_call_id.replace(marked, plain)


def _conversation_of(state: msgspec.Struct) -> str | None:
    """Return the conversation that a mapper knows the file by, None if it keeps none.

    A line that the mapper could not read belongs there, too.
    """
    known: object = getattr(state, "conversation", None)
    return known if isinstance(known, str) and known else None


def _recognises(dialect: Dialect[msgspec.Struct], path: str, members: JsonObject) -> bool:
    """Return whether a dialect recognises a line; one that makes it fail is not its own."""
    try:
        return dialect.recognise(path, members)
    except (TypeError, ValueError, LookupError, AttributeError):
        return False


def _first_digest(clean: CleanChunk, accepted: bytes) -> bytes:
    """Return a digest of the file's first line, or of why it was rejected.

    It distinguishes files whose lines have no ids. `accepted` is the first accepted line.
    """
    rejection = clean.rejected[0].reason if clean.rejected else ""
    is_first = bool(clean.positions) and (clean.positions[0].number == 0 or not rejection)
    content = accepted if is_first else b"refused:" + rejection.encode()
    return hashlib.sha256(content).digest()[:16]


def _redactions(line: bytes) -> tuple[int, str]:
    """Return how many redaction markers a line has, and of which rules (`rule:count,…`)."""
    if b"[REDACTED:" not in line:
        return 0, ""
    rules = Counter(_MARKER.findall(line))
    return rules.total(), ",".join(
        f"{rule.decode()}:{count}" for rule, count in sorted(rules.items())
    )
