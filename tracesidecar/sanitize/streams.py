"""Which lines of a chunk carry pieces of one streamed message, and which are open at its end?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracesidecar.model import LONGEST_OPEN_BYTES
from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.similar_lines import find_similar
from tracesidecar.sanitize.stream_events import MessageKey, read_events
from tracesidecar.sanitize.streamed_text import GAP_LINES, StreamedText, StreamPiece


def find_streams(
    data: bytes, signs: Sequence[int], broken: Sequence[int] = ()
) -> list[StreamedText]:
    """Return the streamed texts of two or more pieces, and every open one.

    `signs` are the offsets at which matches of the stream signs end, `broken` those at which tokens
    begin that break off with their strings, both in any order.
    """
    streams: list[StreamedText] = []
    if signs:
        assembler = _StreamAssembler()
        try:
            for start, end, has_sign in _lines_around(data, sorted(signs)):
                assembler.add_line(data, start, end, has_sign=has_sign)
            streams = assembler.finish()
        except Exception:  # noqa: BLE001 - fail closed: no line with a sign passes
            pieces = [
                StreamPiece(start, end, (), b"")
                for start, end, has_sign in _lines_around(data, sorted(signs))
                if has_sign
            ]
            return [StreamedText(pieces, is_open=False, is_ambiguous=True)]
    if broken:
        taken = {piece.start for stream in streams for piece in stream.pieces}
        streams += find_similar(data, broken, taken)
    return streams


def pending_start(streams: Sequence[StreamedText], size: int) -> int | None:
    """Return the start of the first line that must wait for the rest of its text, else None.

    No other text is torn there: one that spans the offset waits too.
    """
    spans = sorted(
        (stream.pieces[0].start, stream.pieces[-1].start, stream.is_open) for stream in streams
    )
    start = min(
        (first for first, _, is_open in spans if is_open and size - first <= LONGEST_OPEN_BYTES),
        default=None,
    )
    if start is None:
        return None
    for first, last, _ in reversed(spans):
        if first < start <= last:
            start = first
    return start if size - start <= LONGEST_OPEN_BYTES else None


class _StreamAssembler:
    """Puts texts together while the lines go by."""

    def __init__(self) -> None:
        self._pieces: dict[MessageKey, list[tuple[object, StreamPiece]]] = {}
        self._last_line: dict[MessageKey, int] = {}
        self._finished: list[StreamedText] = []
        self._line_count = 0

    def add_line(self, data: bytes, start: int, end: int, *, has_sign: bool) -> None:
        self._line_count += 1
        if not has_sign and patterns.STREAM_END.search(data, start, min(end, start + 2048)) is None:
            return
        for event in read_events(data[start:end]):
            key = event.key
            if event.text is not None:
                if self._line_count - self._last_line.get(key, self._line_count) > GAP_LINES:
                    self._close(key)
                piece = StreamPiece(start, end, event.path, event.text, event.codec)
                self._pieces.setdefault(key, []).append((event.id, piece))
                self._last_line[key] = self._line_count
            if event.ends:
                for other in [other for other in self._pieces if event.is_about(other)]:
                    self._end(other, event.id)

    def _end(self, key: MessageKey, own_id: object) -> None:
        """Close a text; pieces with another id continue if the end event names its own."""
        others = [
            each
            for each in self._pieces[key]
            if own_id is not None and each[0] not in {None, own_id}
        ]
        self._pieces[key] = [each for each in self._pieces[key] if each not in others]
        self._close(key)
        if others:
            self._pieces[key] = others

    def _close(self, key: MessageKey, *, is_open: bool = False) -> None:
        pieces = self._pieces.pop(key)
        by_id: dict[object, list[StreamPiece]] = {}
        for each, piece in pieces:
            by_id.setdefault(each, []).append(piece)
        if len(by_id) == len(pieces):
            # each event has an id of its own, which says nothing about the message
            by_id = {None: [piece for _, piece in pieces]}
        self._finished += [
            StreamedText(group, is_open) for group in by_id.values() if is_open or len(group) > 1
        ]

    def finish(self) -> list[StreamedText]:
        """Close what is left and return all texts."""
        for key in list(self._pieces):
            self._close(key, is_open=self._line_count - self._last_line[key] <= GAP_LINES)
        return self._finished


def _lines_around(data: bytes, signs: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
    """Iterate over the lines with signs and up to GAP_LINES + 1 lines after each.

    A text may end there.
    """
    position = 0
    for i, sign in enumerate(signs):
        if sign <= position:
            continue
        start = max(position, data.rfind(b"\n", 0, sign - 1) + 1)
        yield from ((*line, False) for line in _lines(data, position, start, GAP_LINES + 1) if i)
        end = data.find(b"\n", sign - 1)
        position = (end if end >= 0 else len(data)) + 1
        yield start, position - 1, True
    yield from ((*line, False) for line in _lines(data, position, len(data), GAP_LINES + 1))


def _lines(data: bytes, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    while start < end and limit:
        newline = data.find(b"\n", start, end)
        stop = newline if newline >= 0 else end
        if stop > start:
            yield start, stop
        start, limit = stop + 1, limit - 1
