"""Scan a redacted line again: if a secret remains, its whole string is replaced."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import msgspec

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.edit.edits import Edit, EditedLine, chain, splice
from tracesidecar.sanitize.markers import Marker


class SecretRemains(Exception):
    """A secret remains even after its string was replaced: the line must not pass."""


class Recheck:
    """Checks each redacted line for secrets that its redaction left behind."""

    def __init__(self, find: Callable[[bytes], Sequence[Edit]], marker: Marker) -> None:
        """Use `find` to get the edits that rules with certain hits would still make in a line."""
        self._find = find
        self._marker = marker

    def check(self, edited: EditedLine) -> EditedLine:
        """Return the line as it may leave; raise SecretRemains if it must not."""
        remaining = self._find(edited.line) if edited.edits else ()
        if not remaining:
            return edited
        replaced = splice(edited.line, self._replace_strings(edited.line, remaining))
        if self._find(replaced.line):
            raise SecretRemains
        return chain(edited, replaced)

    def _replace_strings(self, line: bytes, remaining: Sequence[Edit]) -> list[Edit]:
        tokens = [match.span() for match in patterns.STRING_OR_NUMBER.finditer(line)]
        starts = [start for start, _ in tokens]
        edits: dict[int, Edit] = {}
        for edit in remaining:
            start, end = tokens[max(0, bisect_right(starts, edit.start) - 1)]
            marker = self._marker.mark(edit.rules[0] if edit.rules else "secret", line[start:end])
            edits.setdefault(
                start, Edit(start, end, msgspec.json.encode(marker.decode()), edit.rules)
            )
        return list(edits.values())
