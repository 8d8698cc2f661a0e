"""Strict validation: one call for a chunk of good lines, a reason for each bad one.

msgspec checks every line of a chunk in one pass, but splits at white space and not at newlines, and
does not look at UTF-8. Two proofs close both gaps: the lines that it returned, put together, are
the chunk without its newlines; and the chunk is UTF-8.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.repair import repaired, without_lone_surrogates

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ONE = msgspec.json.Decoder(msgspec.Raw)
_BLANK = b" \t\r"


@dataclass(slots=True)
class ValidatedLines:
    """The accepted lines, each ended by a newline, and where the others were: (start, end, reason)
    within the chunk.

    `starts` are the offsets at which the accepted lines began in the chunk, None when `data` is the
    chunk itself; `repaired` those of the lines that were repaired.
    """

    data: bytes = field(repr=False)
    lines: int
    starts: list[int] | None = None
    refused: list[tuple[int, int, RejectionReason]] = field(default_factory=list)
    blank: int = 0
    repaired: list[int] = field(default_factory=list)


def validate(
    chunk: bytes, *, is_first: bool = False, is_torn: bool = False, repair: bool = False
) -> ValidatedLines:
    """Check whole lines.

    `is_first`: the chunk begins its file (a byte order mark may stand there); `is_torn`: its last
    line has no newline and gets none.
    """
    has_mark = is_first and chunk.startswith(BYTE_ORDER_MARK)
    if not has_mark and chunk.endswith(b"\n"):
        lines = _proven_lines(chunk)
        if lines is not None:
            return ValidatedLines(chunk, lines)
    return _line_by_line(
        chunk, len(BYTE_ORDER_MARK) if has_mark else 0, is_torn=is_torn, repair=repair
    )


def _proven_lines(chunk: bytes) -> int | None:
    """How many lines the chunk has, when each is exactly one JSON document of UTF-8; None when that
    is not proven.
    """
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
            reason, mended = _judge(line, repair=repair)
            if reason is not None and is_torn and newline < 0:
                reason = RejectionReason.TRUNCATED
            if reason is None:
                if mended is not line:
                    result.repaired.append(position)
                accepted.append(mended)
                starts.append(position)
            else:
                result.refused.append((position, end, reason))
        position = end + 1
    accepted.append(b"")
    result.data = b"\n".join(accepted)
    result.lines = len(starts)
    return result


def _judge(line: bytes, *, repair: bool) -> tuple[RejectionReason | None, bytes]:
    """(None, the line as it may pass) or (why it may not, the line)."""
    reason = rejection_reason(line)
    if (
        reason is None
        or not repair
        or reason not in {RejectionReason.NAN, RejectionReason.LONE_SURROGATE}
    ):
        return reason, line
    mended = repaired(line)
    return (reason, line) if _flaw(mended) is not None else (None, mended)


def rejection_reason(line: bytes) -> RejectionReason | None:
    """Say why a line (without newline) does not pass, None when it does."""
    if not line.isascii() and not _is_utf8(line):
        return RejectionReason.INVALID_UTF8
    flaw = _flaw(line)
    if flaw is None or flaw is RejectionReason.TOO_DEEP:
        return flaw
    # msgspec takes a high surrogate at the end of a string for truncation
    if _flaw(without_lone_surrogates(line)) is None:
        return RejectionReason.LONE_SURROGATE
    if _flaw(repaired(line)) is None:
        return RejectionReason.NAN
    return RejectionReason.TWO_DOCUMENTS if _has_documents(line) else flaw


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


def _has_documents(line: bytes) -> bool:
    try:
        return len(_ONE.decode_lines(line)) > 1
    except (msgspec.DecodeError, RecursionError):
        return False


def _is_utf8(data: bytes) -> bool:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
