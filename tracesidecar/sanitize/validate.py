"""Strict validation: one call for a chunk of valid lines, a reason for each invalid one.

msgspec checks every line of a chunk in one pass, but it splits at white space instead of newlines
and does not check UTF-8. Two checks close both gaps: the documents that it returned, joined, must
equal the chunk without its newlines; and the chunk must be UTF-8.

JSON documents are judged one by one, and become lines: the newlines and the indentation of a valid
document are between its values, and never in a string.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from tracesidecar.byte_count import count_byte
from tracesidecar.json_documents import Document, Effort, Ending, next_document
from tracesidecar.sanitize.budget import LineLimitExceeded
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.repair import (
    LinePart,
    repair_line,
    split_records,
    without_lone_surrogates,
)

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ONE = msgspec.json.Decoder(msgspec.Raw)
_BLANK = b" \t\r"
_LINE_BREAK = re.compile(rb"[\r\n][ \t\r\n]*")


@dataclass(slots=True)
class ValidatedLines:
    """The accepted lines, each ended by a newline, and the rejected ones as (start, end, reason).

    All offsets are in the chunk. `starts` are those at which the accepted lines began, None if
    `data` is the chunk itself; `repaired` those of the lines that were repaired. `parts` are the
    accepted lines that are only a part of their line in the chunk, or a document: start → end.
    """

    data: bytes = field(repr=False)
    lines: int
    starts: list[int] | None = None
    rejected: list[tuple[int, int, RejectionReason]] = field(default_factory=list)
    blank: int = 0
    repaired: list[int] = field(default_factory=list)
    parts: dict[int, int] = field(default_factory=dict)


def validate(
    chunk: bytes,
    *,
    is_first: bool = False,
    is_torn: bool = False,
    repair: bool = False,
    most_lines: int | None = None,
) -> ValidatedLines:
    """Check the lines of a chunk.

    `is_first`: the chunk begins its file, so a byte order mark is allowed. `is_torn`: the last line
    has no newline and will not get one. `repair`: fix what can be fixed instead of rejecting.
    Raise LineLimitExceeded if there are more than `most_lines`. Valid lines are not counted for
    that: that alone would cost a chunk a twentieth of its whole way.
    """
    has_mark = is_first and chunk.startswith(BYTE_ORDER_MARK)
    if not has_mark and chunk.endswith(b"\n"):
        lines = _count_proven_lines(chunk)
        if lines is not None:
            if most_lines is not None and lines > most_lines:
                raise LineLimitExceeded
            return ValidatedLines(chunk, lines)
    if most_lines is not None and count_byte(chunk, b"\n", most_lines + 1) > most_lines:
        raise LineLimitExceeded
    return _line_by_line(
        chunk, len(BYTE_ORDER_MARK) if has_mark else 0, is_torn=is_torn, repair=repair
    )


def validate_documents(chunk: bytes, *, repair: bool = False) -> ValidatedLines:
    """Check a chunk of whole JSON documents; each accepted one becomes a line."""
    accepted: list[bytes] = []
    result = ValidatedLines(b"", 0, [])
    position, effort = 0, Effort(chunk)
    while (document := next_document(chunk, position, Ending.FINAL, effort)) is not None:
        start, position, _ = document
        content = chunk[start:position]
        reason, fixed = _judge_document(document, content, repair=repair)
        if reason is None:
            result.parts[start] = position
            if fixed is not content:
                result.repaired.append(start)
            accepted.append(_LINE_BREAK.sub(b"", fixed))
        elif repair and (parts := split_records(content)):
            records = _take_parts(result, start, parts)
            accepted += [_LINE_BREAK.sub(b"", chunk[each : result.parts[each]]) for each in records]
        else:
            result.rejected.append((start, position, reason))
    result.starts = list(result.parts)
    result.lines = len(accepted)
    result.data = b"\n".join([*accepted, b""])
    return result


def _judge_document(
    document: Document, content: bytes, *, repair: bool
) -> tuple[RejectionReason | None, bytes]:
    """Return (None, the document to accept) or (why it is rejected, the document)."""
    if document.state == "nul":
        return RejectionReason.NUL, content
    reason, fixed = _judge(content, repair=repair)
    is_torn = document.state == "unclosed" and reason is not RejectionReason.UTF16
    return (RejectionReason.TRUNCATED, content) if is_torn else (reason, fixed)


def _count_proven_lines(chunk: bytes) -> int | None:
    """Return the number of lines if each is proven to be one JSON document in UTF-8."""
    try:
        lines = _ONE.decode_lines(chunk)
    except (msgspec.DecodeError, RecursionError):
        return None
    packed = b"".join(lines)
    if len(packed) + len(lines) != len(chunk) or packed != chunk.replace(b"\n", b""):
        return None
    return len(lines) if packed.isascii() or _is_utf8(packed) else None


def _line_by_line(chunk: bytes, position: int, *, is_torn: bool, repair: bool) -> ValidatedLines:
    accepted: list[bytes] = []
    starts: list[int] = []
    result = ValidatedLines(b"", 0, starts)
    last = len(chunk)
    while position < last:
        newline = chunk.find(b"\n", position)
        end = newline if newline >= 0 else last
        line = chunk[position:end].rstrip(b"\r")
        if not line.strip(_BLANK):
            result.blank += 1
        else:
            reason, fixed = _judge(line, repair=repair)
            is_cut = reason not in {None, RejectionReason.UTF16} and is_torn and newline < 0
            if is_cut:
                reason = RejectionReason.TRUNCATED
            if reason is not None and repair and (parts := split_records(line)):
                records = _take_parts(result, position, parts)
                accepted += [chunk[start : result.parts[start]] for start in records]
                starts += records
            elif reason is None:
                if fixed is not line:
                    result.repaired.append(position)
                accepted.append(fixed)
                starts.append(position)
            else:
                result.rejected.append((position, end, reason))
        position = end + 1
    accepted.append(b"")
    result.data = b"\n".join(accepted)
    result.lines = len(starts)
    return result


def _take_parts(result: ValidatedLines, position: int, parts: list[LinePart]) -> list[int]:
    """Reject what is not a record in the line at `position`; return where its records begin."""
    starts = []
    for start, end, reason in parts:
        if reason is None:
            starts.append(position + start)
            result.parts[position + start] = position + end
        else:
            result.rejected.append((position + start, position + end, reason))
    result.repaired += starts
    return starts


def _judge(line: bytes, *, repair: bool) -> tuple[RejectionReason | None, bytes]:
    """Return (None, the line to accept) or (why it is rejected, the line)."""
    reason = rejection_reason(line)
    if (
        reason is None
        or not repair
        or reason not in {RejectionReason.NAN, RejectionReason.LONE_SURROGATE}
    ):
        return reason, line
    fixed = repair_line(line)
    return (reason, line) if _flaw(fixed) is not None else (None, fixed)


def rejection_reason(line: bytes) -> RejectionReason | None:
    """Return why a line (without its newline) is rejected, None if it is valid."""
    if _is_utf16(line):
        return RejectionReason.UTF16
    if not line.isascii() and not _is_utf8(line):
        return RejectionReason.INVALID_UTF8
    flaw = _flaw(line)
    if flaw is None or flaw is RejectionReason.TOO_DEEP:
        return flaw
    # msgspec reports a high surrogate at the end of a string as truncation
    paired = without_lone_surrogates(line)
    if paired != line and _flaw(paired) is None:
        return RejectionReason.LONE_SURROGATE
    fixed = repair_line(line)
    if fixed not in (line, paired) and _flaw(fixed) is None:
        return RejectionReason.NAN
    return RejectionReason.TWO_DOCUMENTS if _has_several_documents(line) else flaw


def _flaw(line: bytes) -> RejectionReason | None:
    try:
        _ONE.decode(line)
    except RecursionError:
        return RejectionReason.TOO_DEEP
    except msgspec.DecodeError as error:
        return (
            RejectionReason.TRUNCATED
            if str(error) == "Input data was truncated"
            else RejectionReason.NOT_JSON
        )
    return None


def _has_several_documents(line: bytes) -> bool:
    try:
        return len(_ONE.decode_lines(line)) > 1
    except (msgspec.DecodeError, RecursionError):
        return False


def _is_utf16(line: bytes) -> bool:
    """Return whether a line is a piece of UTF-16: it begins so, or every other byte of it is NUL.

    The newline of UTF-16 is two bytes, of which one is a newline to us: the other is at the end of
    this line, or at the beginning of the next. Text in other scripts has no NUL bytes of its own,
    but quotation marks, digits and keys have.
    """
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    zeros = line.count(0)
    if zeros * 8 < len(line) or len(line) < 2:
        return False
    even = line[::2].count(0)
    return max(even, zeros - even) >= 0.9 * zeros and zeros > 1 and b"\0\0" not in line[1:-1]


def _is_utf8(data: bytes) -> bool:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
