"""Where JSON documents begin and end in bytes that hold one after the other.

A source of documents is cut into them here and nowhere else, whether it is read, judged, scanned or
measured. Objects and arrays end at their bracket, whatever white space is in them; other values end
with their line. A faulty document ends where the next one surely begins, so that one fault costs
one document:

* before a record separator (RFC 7464) that begins a line or precedes an opening bracket;
* with a line that begins with a closing bracket, or before one that begins with an opening one, if
  the document is indented: no other line of it does;
* at the bracket that closes its first one, if all match;
* before a line that begins with a bracket and is a whole document, or one that the faulty document
  cannot contain;
* else with the file.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Literal, NamedTuple

import msgspec

_VALUE = msgspec.json.Decoder(msgspec.Raw)
_ERROR_PLACE = re.compile(r"\(byte ([0-9]+)\)$")
_WHITE_SPACE = b" \t\r\n"
_BETWEEN = re.compile(rb"(?:[ \t\r\n\x1e]|\xef\xbb\xbf)*")
"""White space; byte order marks, which stay in the middle when files are put together; and the
record separator, with which each text of a JSON text sequence begins (RFC 7464)."""
_SEPARATOR = re.compile(rb"\x1e+(?=[{\[])|(?<=\n)\x1e+")
_NULS = re.compile(rb"\0{2,}(?:[ \t\r\n]+\0+)*")
_INDENTED = re.compile(rb"[{\[][ \t\r]*\n(?:[ \t\r]*\n)*[ \t]+[^ \t\r\n]")
_LINE_WITH_BRACKET = re.compile(rb"\n(\x1e*[{\[])")
_OPENING_LINE = re.compile(rb"[{\[][ \t\r]*\n")
_LAST_LINE = re.compile(rb"\n[}\]]")
_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_TOKEN = re.compile(rb'"(?:[^"\\\n]++|\\[^\n])*+(")?|[{\[\]}]')
_STRING_REST = re.compile(rb'(?:[^"\\\n]++|\\[^\n])*+("|\n)?')
_SURPLUS = re.compile(rb"(?:[ \t\r\n]*[\]},])+")
"""What a faulty document may have behind the bracket that seems to close it."""
_CLOSING = ord("}") - ord("{")
"""How far behind its opening bracket each closing one stands in ASCII."""
_LEAST_EFFORT = 1000
"""What it costs, in bytes, to see that a value is truncated or nested too deep."""
_MOST_TRIES = 100
"""So many lines are tried as the beginning of the document that follows a faulty one."""


class Ending(Enum):
    """What is known of the bytes that may follow the last one."""

    OPEN = auto()
    """More may follow at any time."""
    RESTING = auto()
    """Nothing has followed for a while: what cannot become a document any more never will."""
    FINAL = auto()
    """Nothing will follow."""


class JsonValue(NamedTuple):
    """A JSON value that was looked for at some place.

    `end` is where it ends; if it is broken, the byte that breaks it. It is -1 if the value is
    truncated by the end of the bytes, or nested too deep; of a truncated number it is their end.
    """

    end: int
    state: Literal["whole", "broken", "truncated", "deep"]

    @property
    def is_whole(self) -> bool:
        """Whether it is a JSON value; its UTF-8 is not checked."""
        return self.state == "whole"


class Document(NamedTuple):
    """The bytes [start, end) of one document, without white space around it.

    faulty: no JSON. unclosed: the same, and its first bracket is never closed. nul: NUL bytes that
    stand in the place of a document.
    """

    start: int
    end: int
    state: Literal["whole", "faulty", "unclosed", "nul"]


class Effort:
    """How many bytes may still be looked at to judge where the faulty documents of some data end.

    Thousands of torn documents would otherwise each be followed to the end of the data. Once it is
    spent, a faulty document ends before the next line that begins with a bracket.
    """

    def __init__(self, data: bytes) -> None:
        self.left = 1_000_000 + 16 * len(data)
        self.last_separator = data.rfind(b"\x1e")
        """Where the last record separator is, -1 if there is none."""

    def spend(self, count: int) -> None:
        """Note that so many bytes were looked at."""
        self.left = max(0, self.left - count)


def read_value(data: bytes, start: int) -> JsonValue:
    """Find the end of the value that begins at `start`, in one pass that stops there."""
    try:
        _VALUE.decode(memoryview(data)[start:])
    except RecursionError:
        return JsonValue(-1, "deep")
    except msgspec.DecodeError as error:
        place = _ERROR_PLACE.search(str(error))
        if place is None:
            return JsonValue(-1, "truncated")
        end = start + int(place.group(1))
        if "trailing characters" not in str(error):
            return JsonValue(end, "truncated" if end >= len(data) else "broken")
        end -= 1
    else:
        end = len(data)
    while data[end - 1] in _WHITE_SPACE:
        end -= 1
    return JsonValue(end, "whole")


def skip_between(data: bytes, start: int) -> int:
    """Return where the next byte is that belongs to a document."""
    found = _BETWEEN.match(data, start)
    return found.end() if found else start


def next_document(
    data: bytes, start: int, ending: Ending, effort: Effort | None = None
) -> Document | None:
    """Return the next document from `start` on.

    None if there is none, or if where it ends depends on bytes that may follow. To get one
    document after the other, pass the same `effort`.
    """
    start = skip_between(data, start)
    if start == len(data):
        return None
    if nuls := _NULS.match(data, start):
        is_growing = nuls.end() == len(data) and ending is Ending.OPEN
        return None if is_growing else Document(start, nuls.end(), "nul")
    value = read_value(data, start)
    is_scalar = data[start] not in b"{[" or data[start + 1 : start + 2] == b"\0"
    if value.is_whole and not is_scalar:
        return Document(start, value.end, "whole")
    effort = effort or Effort(data)
    if (
        not value.is_whole
        and start < effort.last_separator
        and (separator := _SEPARATOR.search(data, start))
    ):
        end = _trim(data, start, separator.start())
        is_closed = is_scalar or ClosingFinder().feed(data, start, end) >= 0
        return Document(start, end, "faulty" if is_closed else "unclosed")
    if is_scalar:
        return _end_scalar(data, start, value, ending)
    return _end_faulty(data, start, value, ending, effort)


def _end_scalar(data: bytes, start: int, value: JsonValue, ending: Ending) -> Document | None:
    """Return a number, string or literal, or what is no JSON at all, such as UTF-16.

    A number may go on in the next byte, so it needs an end of its line.
    """
    if value.is_whole and value.end < len(data) and data[value.end] in _WHITE_SPACE:
        return Document(start, value.end, "whole")
    if value.is_whole and value.end == len(data):
        return None if ending is Ending.OPEN else Document(start, value.end, "whole")
    following = _LINE_WITH_BRACKET.search(data, start)
    if following is not None:
        return Document(start, _trim(data, start, following.start(1)), "faulty")
    waits = ending is not Ending.FINAL if value.state == "truncated" else ending is Ending.OPEN
    return None if waits else Document(start, _trim(data, start, len(data)), "faulty")


def _end_faulty(
    data: bytes, start: int, value: JsonValue, ending: Ending, effort: Effort
) -> Document | None:
    """Return an object or array that is not whole."""
    line = _LINE_WITH_BRACKET.search(data, start) if _INDENTED.match(data, start) else None
    limit = line.start(1) if line is not None else len(data)
    # msgspec takes a string that ends with half a surrogate pair for a truncated one
    is_truncated = value.state == "truncated" and not _LONE_SURROGATE.search(data, start)
    brackets = ClosingFinder()
    if not is_truncated:
        closed = _find_closing(data, start, limit, brackets, effort)
        if closed == len(data) and ending is Ending.OPEN:
            return None  # it may be in the middle of being overwritten
        if closed >= 0:
            return Document(start, closed, "faulty")
    if line is not None:
        return Document(start, _trim(data, start, limit), "unclosed")
    if value.state == "truncated" and ending is not Ending.FINAL:
        return None
    following = _find_following(data, start, value.end, effort)
    if following is None and ending is Ending.OPEN:
        return None
    end = _trim(data, start, following or len(data))
    return Document(start, end, "unclosed" if brackets.do_match else "faulty")


def _find_closing(
    data: bytes, start: int, limit: int, brackets: ClosingFinder, effort: Effort
) -> int:
    """Return where a faulty document is closed, -1 if that cannot be said."""
    if _INDENTED.match(data, start) and (line := _LAST_LINE.search(data, start, limit)):
        closed = line.end()
    else:
        newline = data.find(b"\n", start, limit)
        first_line_end = newline if newline >= 0 else limit
        closed = brackets.feed(data, start, first_line_end)
        if closed < 0:
            end = min(limit, first_line_end + effort.left)
            effort.spend(end - first_line_end)
            closed = brackets.feed(data, first_line_end, end)
        if not brackets.do_match:
            closed = -1
    surplus = _SURPLUS.match(data, closed, limit) if closed >= 0 else None
    return surplus.end() if surplus else closed


def _find_following(data: bytes, start: int, broken_at: int, effort: Effort) -> int | None:
    """Return where the document begins that follows a faulty one which is not indented.

    Lines of a flat array begin with a bracket, too, but then a comma or bracket follows them.
    """
    is_compact = _OPENING_LINE.match(data, start) is None
    passed = first = start
    for tried, line in enumerate(_LINE_WITH_BRACKET.finditer(data, start)):
        if tried == _MOST_TRIES:
            # nothing but torn documents, if it is not the flat array that begins on its own line
            return first if is_compact else None
        place = line.start(1)
        first = place if tried == 0 else first
        is_torn_in_line = is_compact and 0 <= broken_at <= place
        if is_torn_in_line or place == broken_at or not effort.left:
            return place
        if place < passed:
            continue
        value = read_value(data, place)
        effort.spend(max(value.end - place, _LEAST_EFFORT))
        if value.is_whole:
            passed = value.end
            after = skip_between(data, passed)
            if after == len(data) or data[after] in b"{[":
                return place
    return None


def _trim(data: bytes, start: int, end: int) -> int:
    while end > start and data[end - 1] in _WHITE_SPACE:
        end -= 1
    return end


class ClosingFinder:
    """Follows brackets, outside strings, to the one that closes the first; piece by piece.

    Any depth will do. A string ends with its line at the latest, so that one that was torn does not
    turn all others inside out.
    """

    def __init__(self) -> None:
        self._open = bytearray()
        self._is_in_string = False
        self._is_escaped = False
        self.do_match = True
        """Whether each closing bracket so far was of the kind of the opening one."""

    def feed(self, data: bytes, start: int = 0, end: int | None = None) -> int:
        """Go on with data[start:end]; return where the first bracket is closed, -1 if not there."""
        end = len(data) if end is None else end
        if self._is_in_string:
            start = self._leave_string(data, start, end)
        for token in _TOKEN.finditer(data, start, end):
            kind = data[token.start()]
            if kind == 0x22:  # a quotation mark
                self._is_in_string = token.lastindex is None and self._reaches(data, token, end)
            elif kind in b"{[":
                self._open.append(kind)
            else:
                self.do_match &= bool(self._open) and kind - self._open.pop() == _CLOSING
                if not self._open:
                    return token.end()
        return -1

    def _leave_string(self, data: bytes, start: int, end: int) -> int:
        start += self._is_escaped and start < end
        self._is_escaped = False
        rest = _STRING_REST.match(data, start, end)
        if rest is None:
            return start
        self._is_in_string = rest.lastindex is None and self._reaches(data, rest, end)
        return rest.end()

    def _reaches(self, data: bytes, string: re.Match[bytes], end: int) -> bool:
        """Return whether an open string goes on to the end.

        A backslash that is the last byte escapes what follows.
        """
        self._is_escaped = string.end() == end - 1 and data[string.end()] == 0x5C
        return string.end() == end or self._is_escaped


class EndFinder:
    """Follows a document that is too long to be held, piece by piece, to its end."""

    def __init__(self, beginning: bytes) -> None:
        """`beginning` are its first bytes, enough to see how it is indented."""
        has_brackets = beginning.startswith((b"{", b"["))
        self._is_indented = _INDENTED.match(beginning) is not None
        self._ends_before_bracket = self._is_indented or not has_brackets
        self._brackets = ClosingFinder() if has_brackets and not self._is_indented else None

    def feed(self, piece: bytes, start: int) -> int:
        """Return where the document ends in its next piece, -1 if it goes on.

        piece[:start] is the last byte of the piece before, which may be a newline.
        """
        before = _LINE_WITH_BRACKET.search(piece) if self._ends_before_bracket else None
        limit = before.start(1) if before is not None else len(piece)
        if self._is_indented and (last := _LAST_LINE.search(piece, 0, limit)):
            return last.end()
        closed = -1 if self._brackets is None else self._brackets.feed(piece, start, limit)
        return limit if closed < 0 and before is not None else closed
