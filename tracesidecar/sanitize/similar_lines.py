"""Streams that no table knows: lines of one shape, in which one short string goes on.

A token that breaks off with its string is the sign: if later lines differ from its line in nothing
but that string, and in what counts up or is new in every line, their strings continue it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tracesidecar.json_size import has_too_many_values
from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.stream_events import Path
from tracesidecar.sanitize.streamed_text import GAP_LINES, StreamedText, StreamPiece

LONGEST_LINE = 16 << 10
LONGEST_PIECE = 1024
_MOST_LEAVES = 128
_MOST_PIECES = 256
_WINDOW_LINES = 4 * GAP_LINES
_MOST_LINES = 8192
"""How many lines of a chunk are compared: an ordinary one has none to compare."""

_NEW_IN_EACH = re.compile(r"[0-9A-Za-z_.:+-]{1,64}")
"""An id, a time or a number: what may be another one in each line of a stream."""
_TELLS_APART = re.compile(r"(?i)(?:index|idx|choice|block|part|stream|role|kind|type|name)\Z")
"""Names of members that tell texts apart: they are the same for all of one."""
_ENDS_IN_TOKEN = re.compile(rb"[A-Za-z0-9+/_=.-]*")


class _Shape(NamedTuple):
    """A line [start, end) of a chunk, and its values by their paths."""

    number: int
    start: int
    end: int
    leaves: Mapping[Path, object]


def find_similar(data: bytes, broken: Sequence[int], taken: Iterable[int]) -> list[StreamedText]:
    """Return the texts that lines of the same shape continue.

    `broken` are the offsets at which tokens begin that break off with their strings, `taken` the
    starts of the lines whose texts are known.
    """
    known = set(taken)
    seeds: dict[int, int] = {}
    for at in sorted(broken):
        start = data.rfind(b"\n", 0, at) + 1
        if start not in known:
            seeds.setdefault(start, at)
    if not seeds:
        return []
    groups: defaultdict[object, list[_Shape]] = defaultdict(list)
    for number, (start, end) in enumerate(_lines_after(data, list(seeds))):
        if start not in known and (leaves := _read_leaves(data[start:end])) is not None:
            groups[tuple(leaves)].append(_Shape(number, start, end, leaves))
    found: list[StreamedText] = []
    for group in groups.values():
        used: set[int] = set()
        for i, shape in enumerate(group):
            if shape.start in seeds and shape.start not in used:
                text = _follow(data, group[i:], seeds[shape.start])
                if text is not None:
                    used.update(piece.start for piece in text.pieces)
                    found.append(text)
    return found


def _lines_after(data: bytes, starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Iterate over the lines at `starts`, and the _WINDOW_LINES after each."""
    position = left = count = 0
    for i, start in enumerate(starts):
        following = starts[i + 1] if i + 1 < len(starts) else len(data)
        position, left = max(position, start), _WINDOW_LINES
        while position < following and left and count < _MOST_LINES:
            newline = data.find(b"\n", position)
            end = newline if newline >= 0 else len(data)
            yield position, end
            position, left, count = end + 1, left - 1, count + 1


def _read_leaves(line: bytes) -> dict[Path, object] | None:
    """Return the values of a line by their paths; None if it carries no piece of a stream."""
    if len(line) > LONGEST_LINE or has_too_many_values(line):
        return None
    try:
        value: object = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    leaves: dict[Path, object] = {}
    waiting: list[tuple[Path, object]] = [((), value)]
    while waiting:
        path, each = waiting.pop()
        if isinstance(each, dict):
            waiting += [((*path, name), inner) for name, inner in each.items()]
        elif isinstance(each, list):
            waiting += [((*path, i), inner) for i, inner in enumerate(each)]
        else:
            leaves[path] = each
        if len(leaves) + len(waiting) > _MOST_LEAVES:
            return None
    return leaves


def _follow(data: bytes, group: Sequence[_Shape], at: int) -> StreamedText | None:
    """Return the text that breaks off at `at` in the first line of a group, and goes on in others.

    If none goes on with it, it may be continued by what comes: then it is open.
    """
    first = before = group[0]
    place = _find_place(data[first.start : first.end], at - first.start, first.leaves)
    if place is None:
        return None
    path, head, tail = place
    frame = ""
    pieces = [StreamPiece(first.start, first.end, path, b"")]
    for shape in group[1:]:
        said = shape.leaves[path]
        if shape.number - before.number > GAP_LINES:
            break
        if (
            not isinstance(said, str)
            or len(said) > LONGEST_PIECE
            or not said.endswith(tail)
            or not said.startswith(frame)
            or not _goes_on(before.leaves, shape.leaves, path)
        ):
            continue
        if len(pieces) == 1 and tail:
            frame = _find_frame(head, said)
        pieces.append(_piece_of(shape, path, frame, tail))
        before = shape
        if not _ENDS_IN_TOKEN.fullmatch(pieces[-1].text) or len(pieces) >= _MOST_PIECES:
            break  # the token is over
    else:
        if _is_near_end(data, before.end + 1):
            pieces[0] = _piece_of(first, path, frame, tail)
            return StreamedText(pieces, is_open=True, is_guessed=True)
    if len(pieces) == 1:
        return None
    pieces[0] = _piece_of(first, path, frame, tail)
    return StreamedText(pieces, is_open=False, is_guessed=True)


def _is_near_end(data: bytes, position: int) -> bool:
    """Return whether few enough lines follow for the text to be continued after them."""
    for _ in range(GAP_LINES + 1):
        position = data.find(b"\n", position) + 1
        if not position:
            return True
    return False


def _piece_of(shape: _Shape, path: Path, frame: str, tail: str) -> StreamPiece:
    """Return the piece of a line, without what stands around it in each: `data: {"delta":"…"}`."""
    said = str(shape.leaves[path])
    text = said[len(frame) : len(said) - len(tail)]
    return StreamPiece(shape.start, shape.end, path, text.encode(), skip=len(frame.encode()))


def _find_frame(head: str, other: str) -> str:
    """Return what two strings begin with, up to the last quotation mark before they differ."""
    size = next(
        (i for i, (one, two) in enumerate(zip(head, other, strict=False)) if one != two), len(head)
    )
    return head[: head.rfind('"', 0, size) + 1]


def _find_place(
    line: bytes, at: int, leaves: Mapping[Path, object]
) -> tuple[Path, str, str] | None:
    """Return the path of the string in which a token breaks off, and what is before and after it.

    None if the string is too long for a piece, or is there twice.
    """
    match = next(
        (each for each in patterns.STRING_OR_NUMBER.finditer(line) if each.end() > at), None
    )
    if match is None or match.start() >= at or match.end() - match.start() > 4 * LONGEST_PIECE:
        return None
    run = patterns.TOKEN_RUN.match(line, at)
    text, head, kept = (
        msgspec.json.decode(b'"' + line[match.start() + 1 : end] + b'"', type=str)
        for end in (match.end() - 1, at, at if run is None else run.end())
    )
    paths = [path for path, value in leaves.items() if value == text]
    return (paths[0], head, text[len(kept) :]) if len(paths) == 1 else None


def _goes_on(before: Mapping[Path, object], after: Mapping[Path, object], piece: Path) -> bool:
    """Return whether a line differs from the one before in no more than a stream's lines do."""
    return all(
        value == before[path] or (path != piece and _is_next(path, before[path], value))
        for path, value in after.items()
        if path != piece
    )


def _is_next(path: Path, before: object, after: object) -> bool:
    if isinstance(before, bool) or isinstance(after, bool) or _TELLS_APART.search(str(path[-1])):
        return False
    if isinstance(before, int | float) and isinstance(after, int | float):
        return True
    return (
        isinstance(before, str)
        and isinstance(after, str)
        and _NEW_IN_EACH.fullmatch(before) is not None
        and _NEW_IN_EACH.fullmatch(after) is not None
    )
