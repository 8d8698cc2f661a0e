"""After a cut the line is scanned again: a secret that is still there takes its whole string along."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import msgspec

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.edit.line_editor import Edit, EditedLine, chain, splice
from tracesidecar.sanitize.markers import Marker


class SecretRemains(Exception):
    """A secret outlived its own removal: the line must not pass."""


class Recheck:
    """Asks of each line that was cut whether the cut was whole."""

    def __init__(self, find: Callable[[bytes], Sequence[Edit]], marker: Marker) -> None:
        """`find` returns the cuts that strong rules would still make in a line."""
        self._find = find
        self._marker = marker

    def check(self, edited: EditedLine) -> EditedLine:
        """Return the line as it may leave; raise SecretLeft when it may not."""
        left = self._find(edited.line) if edited.edits else ()
        if not left:
            return edited
        whole = splice(edited.line, self._whole_strings(edited.line, left))
        if self._find(whole.line):
            raise SecretRemains
        return chain(edited, whole)

    def _whole_strings(self, line: bytes, left: Sequence[Edit]) -> list[Edit]:
        tokens = [match.span() for match in patterns.STRING_OR_NUMBER.finditer(line)]
        starts = [start for start, _ in tokens]
        edits: dict[int, Edit] = {}
        for edit in left:
            start, end = tokens[max(0, bisect_right(starts, edit.start) - 1)]
            marker = self._marker.mark(edit.rules[0] if edit.rules else "secret", line[start:end])
            edits.setdefault(
                start, Edit(start, end, msgspec.json.encode(marker.decode()), edit.rules)
            )
        return list(edits.values())
