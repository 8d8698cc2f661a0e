"""Lines of one file in, canonical events out: recognise the dialect, let it map, and fill in what
no mapper needs to know.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import SCHEMA_VERSION, Event
from tracesidecar.dialects.parsing import JsonObject
from tracesidecar.dialects.prices import price_call
from tracesidecar.dialects.registry import DIALECT_NAMES, GENERIC, load_dialect, load_dialects
from tracesidecar.dialects.state import UNDECIDED, FileState, UnreadableState, begin, decode_state
from tracesidecar.dialects.truncate import raw_column, truncate_columns

UNPRICED = "unpriced"
"""What `observe` is told instead of a type where a call has a model that the price table does not
know.
"""
LINES_TO_DECIDE = 20
"""So many first lines are shown to the dialects; who is not recognised by then is generic."""

_MARKER = re.compile(rb"\[REDACTED:([a-z0-9-]{1,64})(?::[0-9a-f]{8})?\]")
_TYPE_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_decode_object = msgspec.json.Decoder(dict[str, object]).decode


class Line(NamedTuple):
    """A redacted line without its newline, and where the original stood: line number within its
    piece from 0, offset and length in bytes.
    """

    data: bytes
    number: int
    offset: int
    length: int
    is_repaired: bool = False


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Consecutive lines of one file.

    `count` counts all of them, also those that were refused or blank; `refusal` says why the first
    was refused.
    """

    label: str
    lines: Sequence[Line]
    count: int
    refusal: str = ""


class DialectEvent(NamedTuple):
    """An event and the dialect that it comes from."""

    dialect: str
    event: Event


class Interpreter:
    """Interprets the files of one source.

    For one thread; the same lines and state make the same events.
    """

    def __init__(
        self,
        dialect: Dialect[msgspec.Struct] | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        host: str | None = None,
        observe: Callable[[str, str], None] = lambda _dialect, _type: None,
    ) -> None:
        """Without a `dialect` each file's first lines tell.

        `observe` is told of each line of an unknown type: dialect and type.
        """
        self._known = dialect
        self._labels = (
            msgspec.json.encode(dict(labels), order="sorted").decode() if labels else None
        )
        self._host = host
        self._observe = observe

    def __call__(self, block: LineBlock, state: bytes | None) -> tuple[list[DialectEvent], bytes]:
        """Return the events of the lines, at least one each, and the state behind them; `state`
        None is the beginning of the file.

        Raises UnreadableState.
        """
        file = decode_state(state) if state else begin(block.label)
        if not file.first and block.count:
            file.first = _first_digest(block)
        found: list[DialectEvent] = []
        reader = self._reader(file)
        for line in block.lines:
            if file.dialect == UNDECIDED:
                reader = self._decide(file, line, reader)
            found += reader.events(line)
        file.mapper = msgspec.msgpack.encode(reader.state)
        file.lines += block.count
        return found, file.encode()

    def _reader(self, file: FileState) -> _Reader:
        if file.dialect == UNDECIDED and self._known is not None:
            file.dialect = self._known.name
        dialect = self._dialect(file.dialect)
        try:
            state = (
                msgspec.msgpack.decode(file.mapper, type=dialect.state)
                if file.mapper
                else dialect.begin(file.path)
            )
        except msgspec.DecodeError as error:
            raise UnreadableState(f"the state of {dialect.name} cannot be read") from error
        return _Reader(dialect, state, file, self._labels, self._host, self._observe)

    def _dialect(self, name: str) -> Dialect[msgspec.Struct]:
        if self._known is not None and self._known.name == name:
            return self._known
        return load_dialect(name if name in DIALECT_NAMES else GENERIC)

    def _decide(self, file: FileState, line: Line, reader: _Reader) -> _Reader:
        """Show the line to the dialects; what comes before the one that knows it stays generic."""
        try:
            members: JsonObject = _decode_object(line.data)
        except (msgspec.DecodeError, RecursionError):
            members = {}
        known = next(
            (each for each in load_dialects() if _recognises(each, file.path, members)),
            None,
        )
        if known is not None:
            file.dialect, file.mapper = known.name, b""
            return self._reader(file)
        if file.lines + line.number + 1 >= LINES_TO_DECIDE:
            file.dialect = reader.dialect.name
        return reader


@dataclass(slots=True)
class _Reader:
    """One file at one place: the mapper with its state, and all that is the same for every event of
    the file.
    """

    dialect: Dialect[msgspec.Struct]
    state: msgspec.Struct
    file: FileState
    labels: str | None
    host: str | None
    observe: Callable[[str, str], None]

    def events(self, line: Line) -> list[DialectEvent]:
        """The finished events of one line."""
        digest = hashlib.sha256(line.data).hexdigest()
        events = self._map(line.data)
        truncated = [truncate_columns(event) for event in events]
        raw, is_raw_truncated = raw_column(line.data, self.dialect.bulky)
        count, kinds = _redactions(line.data)
        ordinals: dict[tuple[str | None, str], int] = {}
        for event, is_truncated in zip(events, truncated, strict=True):
            self._set_lineage(event)
            event.event_id = self._id(event, ordinals, line.offset, digest)
            event.schema_version = SCHEMA_VERSION
            event.source_file = self.file.path
            event.source_line = self.file.lines + line.number + 1
            event.source_offset, event.line_bytes, event.line_sha256 = (
                line.offset,
                line.length,
                digest,
            )
            event.line_state = "repaired" if line.is_repaired else "ok"
            event.redaction_count, event.redaction_kinds = count, kinds
            event.truncated = (
                is_truncated or bool(event.truncated) or (is_raw_truncated and event is events[0])
            )
            event.labels, event.host_name = self.labels, event.host_name or self.host
            if event.usage_scope == "call" and event.cost_usd is None:
                self._price(event)
        if all(event.raw is None for event in events):
            events[0].raw = raw
        return [DialectEvent(self.dialect.name, event) for event in events]

    def _map(self, data: bytes) -> Sequence[Event]:
        """What the mapper makes of a line.

        Whatever it does not understand is an event all the same: no line is lost.
        """
        try:
            return self.dialect.map_line(data, self.state) or (Event(event_kind="state"),)
        except UnknownType as unknown:
            name = unknown.line_type if _TYPE_NAME.fullmatch(unknown.line_type) else "other"
            self.observe(self.dialect.name, name)
            return (unknown.event,)
        except msgspec.ValidationError:
            self.observe(self.dialect.name, "unexpected_shape")
        except Exception:  # noqa: BLE001 - a mapper's bug on one line must not stop the file; the error may quote the line, so it is only counted
            self.observe(self.dialect.name, "mapper_error")
        return (Event(event_kind="unknown"),)

    def _set_lineage(self, event: Event) -> None:
        """Which conversation, and when: from the line, else from an earlier one, else from the
        file.
        """
        file = self.file
        if event.conversation_id is None:
            event.conversation_id = file.conversation
        if event.event_time is not None:
            file.time = event.event_time
            event.event_time_source = event.event_time_source or "line"
        elif file.time is not None:
            event.event_time, event.event_time_source = file.time, "carried"

    def _id(
        self, event: Event, ordinals: dict[tuple[str | None, str], int], offset: int, digest: str
    ) -> str:
        sub = (
            event.tool_call_id
            if event.tool_call_id and event.event_kind in ("tool_call", "tool_result")
            else ""
        )
        same = event.native_id, f"{event.event_kind} {sub}"
        ordinal = ordinals[same] = ordinals.get(same, -1) + 1
        parts = [
            self.dialect.name,
            event.conversation_id or "",
            event.native_id or "",
            same[1],
            str(ordinal),
        ]
        if event.native_id is None:
            parts += [self.file.first.hex(), str(offset), digest]
        elif event.supersedes:
            parts.append(digest)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _price(self, event: Event) -> None:
        found = price_call(event)
        if found is not None:
            event.cost_usd, event.cost_source = found
        elif event.model is not None:
            self.observe(self.dialect.name, UNPRICED)


def _recognises(dialect: Dialect[msgspec.Struct], path: str, members: JsonObject) -> bool:
    """Ask a dialect; a line that it cannot even look at is not its own."""
    try:
        return dialect.recognise(path, members)
    except (TypeError, ValueError, LookupError, AttributeError):
        return False


def _first_digest(block: LineBlock) -> bytes:
    """Tells apart files whose lines have no ids: of the first line as redacted, or of why it was
    refused.
    """
    first = block.lines[0] if block.lines else None
    is_first = first is not None and (first.number == 0 or not block.refusal)
    content = first.data if first is not None and is_first else b"refused:" + block.refusal.encode()
    return hashlib.sha256(content).digest()[:16]


def _redactions(line: bytes) -> tuple[int, str]:
    """How many marks the line has, and of which rules."""
    if b"[REDACTED:" not in line:
        return 0, ""
    rules = Counter(_MARKER.findall(line))
    return rules.total(), ",".join(
        f"{rule.decode()}:{count}" for rule, count in sorted(rules.items())
    )
