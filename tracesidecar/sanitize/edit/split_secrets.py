"""Secrets that stand in pieces in neighbouring strings of one line: a key in two fields, a PEM file
as a list of lines.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.budget import OVER_BUDGET_RULE, Budget, OverBudget
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.edit.line_editor import Edit
from tracesidecar.sanitize.escapes import raw_offsets
from tracesidecar.sanitize.markers import Marker, Span

_EDGE = 2048
"""So much of the beginning and the end of a long string is looked at together with its neighbours.
"""
_NEIGHBOURS = (2, 3)
"""So many strings are put together, beside all of them: what stands behind the last piece must not
hide the token's end.
"""


class Leaf(NamedTuple):
    """A string value, and where its token stands in the line."""

    text: str
    start: int
    end: int


class _Part(NamedTuple):
    """A piece of a joined text: where it begins in it, and which bytes of which leaf it shows."""

    at: int
    leaf: int
    offset: int
    size: int


class SplitSecrets:
    """Joins neighbouring strings and cuts what the rules find across them."""

    def __init__(
        self,
        rules: Detector,
        marker: Marker,
        budget: Budget,
        *,
        tokens: Collection[str],
        blocks: Collection[str],
    ) -> None:
        """`tokens` names the rules whose pieces follow each other directly, `blocks` those whose
        lines do.
        """
        self._rules = rules
        self._marker = marker
        self._budget = budget
        self._kinds = ((b"", tokens), (b"\n", blocks))

    def find_edits(self, raw: bytes, begun: Sequence[int] | None) -> list[Edit]:
        """Return the edits for all secrets in pieces that begin in a string with one of the places
        `begun` (None: anywhere).

        The marker stands in the first piece, the others become empty.
        """
        self._budget.spend(raw.count(b'"'))
        edits: list[Edit] = []
        taken: set[int] = set()
        places = sorted(begun) if begun is not None else None
        for group in groups(raw):
            if places is not None and not any(
                bisect_right(places, leaf.start) < bisect_right(places, leaf.end) for leaf in group
            ):
                continue
            try:
                edits += self._group_edits(raw, group, taken)
            except OverBudget:
                edits += [self._whole(leaf) for leaf in group if leaf.start not in taken]
                taken |= {leaf.start for leaf in group}
        return edits

    def _group_edits(self, raw: bytes, group: Sequence[Leaf], taken: set[int]) -> list[Edit]:
        edits: list[Edit] = []
        contents = [leaf.text.encode() for leaf in group]
        alone: dict[int, list[Span]] = {}
        for separator, wanted in self._kinds:
            for parts, joined in _joined(contents, separator, everything_only=bool(separator)):
                for start, end, rule in self._rules.find_spans(joined):
                    pieces = list(_pieces(parts, start, end)) if rule in wanted else []
                    leaves = {group[leaf].start for leaf, _, _ in pieces}
                    if (
                        len(leaves) < 2
                        or leaves & taken
                        or (not separator and self._is_whole_alone(contents, alone, pieces[0]))
                    ):
                        continue
                    taken |= leaves
                    edits += self._cut(raw, group, pieces, rule, joined[start:end])
        return edits

    def _whole(self, leaf: Leaf) -> Edit:
        self._budget.count_replaced()
        return Edit(
            leaf.start,
            leaf.end,
            b'"' + self._marker.mark(OVER_BUDGET_RULE, leaf.text.encode()) + b'"',
            (OVER_BUDGET_RULE,),
        )

    def _is_whole_alone(
        self, contents: Sequence[bytes], alone: dict[int, list[Span]], piece: tuple[int, int, int]
    ) -> bool:
        """True when the rules cut something in the first piece without its neighbours."""
        leaf, start, end = piece
        if leaf not in alone:
            alone[leaf] = self._rules.find_spans(contents[leaf])
        return any(low < end and start < high for low, high, _ in alone[leaf])

    def _cut(
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
    """Return the strings that stand side by side: in a list, in an object, or under the same name
    in a list of objects.
    """
    tokens = (match.span() for match in patterns.STRING_OR_NUMBER.finditer(raw))
    found: list[list[Leaf]] = []
    _collect(json.loads(raw, object_pairs_hook=_Members), tokens, found)
    return [group for group in found if len(group) > 1]


class _Members(list[tuple[str, object]]):
    """The members of an object, in order, doubles too."""


def _collect(
    value: object, tokens: Iterator[tuple[int, int]], found: list[list[Leaf]]
) -> list[tuple[str, Leaf]]:
    """Add the groups below a value; return its own strings with their names ("" in a list)."""
    if isinstance(value, _Members):
        return _members(value, tokens, found)
    if isinstance(value, list):
        _items(value, tokens, found)
    elif value is not None and not isinstance(value, bool):
        next(tokens)
    return []


def _members(
    members: _Members, tokens: Iterator[tuple[int, int]], found: list[list[Leaf]]
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


def _joined(
    contents: Sequence[bytes], separator: bytes, *, everything_only: bool
) -> Iterator[tuple[list[_Part], bytes]]:
    for size in () if everything_only else (size for size in _NEIGHBOURS if size < len(contents)):
        starts = range(len(contents) - size + 1)
        yield _join(
            [i for start in starts for i in (*range(start, start + size), -1)], contents, b""
        )
    yield _join(range(len(contents)), contents, separator)


def _join(
    order: Sequence[int], contents: Sequence[bytes], separator: bytes
) -> tuple[list[_Part], bytes]:
    """Put contents one behind the other; -1 stands for a newline.

    Of a long one only the edges are shown.
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
    """(leaf, from, to) for each part that joined[start:end] touches."""
    first = max(0, bisect_right(parts, start, key=lambda part: part.at) - 1)
    for i in range(first, len(parts)):
        part = parts[i]
        if part.at >= end:
            break
        low, high = max(start, part.at), min(end, part.at + part.size)
        if low < high:
            yield part.leaf, part.offset + low - part.at, part.offset + high - part.at
