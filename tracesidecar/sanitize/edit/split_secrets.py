"""Secrets that are split over neighbouring strings of one line.

Examples: a key in two fields, or a PEM file as a list of lines.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.budget import Budget
from tracesidecar.sanitize.detect import Detector
from tracesidecar.sanitize.edit.edits import Edit
from tracesidecar.sanitize.edit.json_members import Members, decode_members
from tracesidecar.sanitize.escapes import raw_offsets
from tracesidecar.sanitize.markers import Marker, Span

_EDGE = 2048
"""How many bytes at each end of a long string are examined together with its neighbours."""
_STEPS_PER_LEAF = 6
_NEIGHBOURS = (2, 3)
"""How many neighbouring strings are joined, besides all of them at once: the text after the last
piece must not hide where the token ends."""


class Leaf(NamedTuple):
    """A string value and the raw span of its token in the line."""

    text: str
    start: int
    end: int


class _Part(NamedTuple):
    """A piece of a joined text: its offset there, and which bytes of which leaf it shows."""

    at: int
    leaf: int
    offset: int
    size: int


class SplitSecrets:
    """Joins neighbouring strings and redacts what the rules find across them."""

    def __init__(
        self,
        detector: Detector,
        marker: Marker,
        budget: Budget,
        *,
        tokens: Collection[str],
        blocks: Collection[str],
    ) -> None:
        """Join pieces directly for the rules in `tokens`, with newlines for those in `blocks`."""
        self._detector = detector
        self._marker = marker
        self._budget = budget
        self._kinds = ((b"", tokens), (b"\n", blocks))

    def find_edits(self, raw: bytes, split_at: Sequence[int] | None) -> list[Edit]:
        """Return the edits for split secrets that begin in a string with an offset in `split_at`.

        None means that they may begin anywhere. The marker replaces the first piece, the other
        pieces become empty.
        """
        self._budget.spend(raw.count(b'"'))
        edits: list[Edit] = []
        taken: set[int] = set()
        offsets = sorted(split_at) if split_at is not None else None
        for group in groups(raw):
            if offsets is not None and not any(
                bisect_right(offsets, leaf.start) < bisect_right(offsets, leaf.end)
                for leaf in group
            ):
                continue
            self._budget.spend(_STEPS_PER_LEAF * len(group))
            edits += self._group_edits(raw, group, taken)
        return edits

    def _group_edits(self, raw: bytes, group: Sequence[Leaf], taken: set[int]) -> list[Edit]:
        edits: list[Edit] = []
        contents = [leaf.text.encode() for leaf in group]
        alone: dict[int, list[Span]] = {}
        for separator, wanted in self._kinds:
            for parts, joined in _join_contents(contents, separator, all_only=bool(separator)):
                for start, end, rule in self._detector.find_spans(joined):
                    pieces = list(_pieces(parts, start, end)) if rule in wanted else []
                    leaves = {group[leaf].start for leaf, _, _ in pieces}
                    if (
                        len(leaves) < 2
                        or leaves & taken
                        or (not separator and self._is_found_alone(contents, alone, pieces[0]))
                    ):
                        continue
                    taken |= leaves
                    edits += self._edit_pieces(raw, group, pieces, rule, joined[start:end])
        return edits

    def _is_found_alone(
        self, contents: Sequence[bytes], alone: dict[int, list[Span]], piece: tuple[int, int, int]
    ) -> bool:
        """Return True if the rules find something in the first piece without its neighbours."""
        leaf, start, end = piece
        if leaf not in alone:
            alone[leaf] = self._detector.find_spans(contents[leaf])
        return any(low < end and start < high for low, high, _ in alone[leaf])

    def _edit_pieces(
        self,
        raw: bytes,
        group: Sequence[Leaf],
        pieces: Sequence[tuple[int, int, int]],
        rule: str,
        secret: bytes,
    ) -> list[Edit]:
        edits = []
        for i, (leaf, start, end) in enumerate(pieces):
            token = group[leaf]
            at = raw_offsets(raw[token.start + 1 : token.end - 1])
            low, high = token.start + 1 + at(start), token.start + 1 + at(end)
            edits.append(
                Edit(low, high, b"" if i else self._marker.mark(rule, secret), () if i else (rule,))
            )
        return edits


def groups(raw: bytes) -> list[list[Leaf]]:
    """Return the groups of neighbouring strings.

    Those in one list, in one object, or under the same name in a list of objects.
    """
    tokens = (match.span() for match in patterns.STRING_OR_NUMBER.finditer(raw))
    found: list[list[Leaf]] = []
    _collect(decode_members(raw), tokens, found)
    return [group for group in found if len(group) > 1]


def _collect(
    value: object, tokens: Iterator[tuple[int, int]], found: list[list[Leaf]]
) -> list[tuple[str, Leaf]]:
    """Add the groups below a value to `found`; return the strings of an object with their names."""
    if isinstance(value, Members):
        return _members(value, tokens, found)
    if isinstance(value, list):
        _items(value, tokens, found)
    elif value is not None and not isinstance(value, bool):
        next(tokens)
    return []


def _members(
    members: Members, tokens: Iterator[tuple[int, int]], found: list[list[Leaf]]
) -> list[tuple[str, Leaf]]:
    own = []
    for name, value in members:
        next(tokens)
        if isinstance(value, str):
            own.append((name, Leaf(value, *next(tokens))))
        else:
            _collect(value, tokens, found)
    found.append([leaf for _, leaf in own])
    return own


def _items(items: list[object], tokens: Iterator[tuple[int, int]], found: list[list[Leaf]]) -> None:
    own: list[Leaf] = []
    by_name: dict[str, list[Leaf]] = {}
    for item in items:
        if isinstance(item, str):
            own.append(Leaf(item, *next(tokens)))
        else:
            for name, leaf in _collect(item, tokens, found):
                by_name.setdefault(name, []).append(leaf)
    found += [own, *by_name.values()]


def _join_contents(
    contents: Sequence[bytes], separator: bytes, *, all_only: bool
) -> Iterator[tuple[list[_Part], bytes]]:
    for size in () if all_only else (size for size in _NEIGHBOURS if size < len(contents)):
        starts = range(len(contents) - size + 1)
        yield _join(
            [i for start in starts for i in (*range(start, start + size), -1)], contents, b""
        )
    yield _join(range(len(contents)), contents, separator)


def _join(
    order: Sequence[int], contents: Sequence[bytes], separator: bytes
) -> tuple[list[_Part], bytes]:
    """Join the contents in this order, where -1 means a newline.

    Only the edges of a long content are included.
    """
    pieces: list[bytes] = []
    parts: list[_Part] = []
    at = 0
    for i in order:
        content = b"\n" if i < 0 else contents[i]
        shown = (
            [(0, content)]
            if len(content) <= 2 * _EDGE
            else [(0, content[:_EDGE] + b"\n"), (len(content) - _EDGE, content[-_EDGE:])]
        )
        for offset, piece in shown:
            if i >= 0:
                parts.append(_Part(at, i, offset, min(len(piece), len(content) - offset)))
            pieces.append(piece)
            at += len(piece)
        pieces.append(separator)
        at += len(separator)
    return parts, b"".join(pieces)


def _pieces(parts: Sequence[_Part], start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Iterate over (leaf, from, to) for each part that joined[start:end] overlaps."""
    first = max(0, bisect_right(parts, start, key=lambda part: part.at) - 1)
    for i in range(first, len(parts)):
        part = parts[i]
        if part.at >= end:
            break
        low, high = max(start, part.at), min(end, part.at + part.size)
        if low < high:
            yield part.leaf, part.offset + low - part.at, part.offset + high - part.at
