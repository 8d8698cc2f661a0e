"""How one suspect line is redacted: confirm its hits, edit near them or walk the tree, recheck."""

from __future__ import annotations

from collections.abc import Sequence

from tracesidecar.json_size import has_too_many_values
from tracesidecar.sanitize.budget import Budget, OverBudget
from tracesidecar.sanitize.detect import Detector, EncodedText, HitConfirmer
from tracesidecar.sanitize.edit.edits import Edit, EditedLine, chain, splice
from tracesidecar.sanitize.edit.fast_path import NeedsTreeWalk, edit_near_hits
from tracesidecar.sanitize.edit.line_editor import (
    EVERYWHERE,
    CleanTextCache,
    EditTools,
    HitPositions,
    KnownEdits,
    LineEditor,
)
from tracesidecar.sanitize.edit.recheck import Recheck
from tracesidecar.sanitize.edit.split_secrets import SplitSecrets
from tracesidecar.sanitize.edit.tree_walk import edit_tree
from tracesidecar.sanitize.engine import Hit, TooManyHits
from tracesidecar.sanitize.markers import Marker
from tracesidecar.sanitize.policy import RedactionPolicy
from tracesidecar.sanitize.prefilter import (
    BLOCK_RULES,
    Candidates,
    HitRole,
    block_starts,
    token_prefixes_of,
)
from tracesidecar.sanitize.rules import AllowedPaths, KeyMatcher

_CONFIRMATION_SHARE = 8
"""Confirming the hits may cost at most this fraction of the redaction that it may save."""
_STEPS_PER_HIT = 3
_BYTES_PER_STEP = 128
"""A scan with all anchors."""


class LineRedactor:
    """Redacts one line at a time. For one thread at a time."""

    def __init__(
        self,
        policy: RedactionPolicy,
        candidates: Candidates,
        *,
        detector: Detector,
        encoded_text: EncodedText,
        keys: KeyMatcher,
        marker: Marker,
        budget: Budget,
    ) -> None:
        self._candidates = candidates
        self._roles = candidates.roles
        self._budget = budget
        self._has_custom_rules = bool(policy.custom_rules)
        self._confirmer = HitConfirmer(detector, keys, self._roles, budget)
        self._split_secrets = SplitSecrets(
            detector,
            marker,
            budget,
            tokens=frozenset(rule.id for rule in policy.rules if token_prefixes_of(rule)),
            blocks=BLOCK_RULES,
        )
        self._recheck = Recheck(self._certain_edits, marker)
        self._tools = EditTools(
            detector,
            encoded_text,
            keys,
            marker,
            budget,
            self._edit_json,
            CleanTextCache(),
            AllowedPaths(policy.allowed) or None,
        )

    def redact(
        self, data: bytes, start: int, end: int, hits: Sequence[Hit] | None
    ) -> EditedLine | None:
        """Redact the line data[start:end]; None if its hits mean nothing.

        `hits` are offsets in `data`; None if anything may be anywhere in the line. Raise OverBudget
        if the line needs more work than its size allows.
        """
        most = self._budget.begin(end - start)
        if hits is None:
            edited = self._edit(data[start:end], None, 0)
        else:
            if not self._is_confirmed(data, start, end, hits, most):
                return None
            edited = self._edit(data[start:end], [(at - start, kind) for at, kind in hits], 0)
        return self._recheck.check(edited)

    def redact_after(self, line: bytes, edits: Sequence[Edit]) -> EditedLine:
        """Apply edits that were found elsewhere, then redact what remains of the line."""
        self._budget.begin(len(line))
        edited = splice(line, edits)
        return self._recheck.check(chain(edited, self._edit_json(edited.line, 0)))

    def _is_confirmed(
        self, data: bytes, start: int, end: int, hits: Sequence[Hit], most: int
    ) -> bool:
        reserved = most - most // _CONFIRMATION_SHARE
        self._budget.reserve(reserved)
        try:
            return self._confirmer.confirms(data, start, end, hits)
        except OverBudget:
            return True
        finally:
            self._budget.reserve(-reserved)

    def _certain_edits(self, line: bytes) -> Sequence[Edit]:
        """Return what the rules whose hits are certain would still redact in the line."""
        self._budget.spend(len(line) // _BYTES_PER_STEP)
        hits = [
            hit
            for hit in self._candidates.find_anchor_hits(line)
            if self._roles[hit[1]] is HitRole.CERTAIN
        ]
        return self._edit(line, hits, 0).edits if hits else ()

    def _edit(self, raw: bytes, hits: Sequence[Hit] | None, nest: int) -> EditedLine:
        if hits is None:
            return self._walk(raw, EVERYWHERE, nest, None, {})
        self._budget.spend(_STEPS_PER_HIT * len(hits))
        positions = self._positions_of(hits)
        known: KnownEdits = {}
        if nest == 0 and (edited := self._edit_fast(raw, hits, positions, known)) is not None:
            return edited
        split_at = [at for at, kind in hits if self._roles[kind] is HitRole.SPLIT]
        return self._walk(raw, positions, nest, [*split_at, *block_starts(raw)], known)

    def _edit_fast(
        self, raw: bytes, hits: Sequence[Hit], positions: HitPositions, known: KnownEdits
    ) -> EditedLine | None:
        """Edit near the hits without decoding the line; None if that needs a tree walk."""
        line = LineEditor(self._tools, raw, positions, 0, known)
        try:
            edit_near_hits(line, hits, self._roles)
        except NeedsTreeWalk:
            return None
        return line.splice()

    def _walk(
        self,
        raw: bytes,
        positions: HitPositions,
        nest: int,
        split_at: Sequence[int] | None,
        known: KnownEdits,
    ) -> EditedLine:
        """Edit the whole tree; raise OverBudget if it would take too much memory.

        `split_at` are the offsets of secrets that may continue in the next string (None: anywhere).
        """
        if has_too_many_values(raw):
            raise OverBudget
        if (split_at is None or split_at) and (
            edits := self._split_secrets.find_edits(raw, split_at)
        ):
            joined = splice(raw, edits)
            rest = self._walk(joined.line, self._find_positions(joined.line), nest, (), {})
            return chain(joined, rest)
        line = LineEditor(self._tools, raw, positions, nest, known)
        edit_tree(line)
        return line.splice()

    def _find_positions(self, raw: bytes) -> HitPositions:
        if self._has_custom_rules:
            return EVERYWHERE
        self._budget.spend(len(raw) // _BYTES_PER_STEP)
        try:
            return self._positions_of(self._candidates.find_hits(raw))
        except TooManyHits:
            return EVERYWHERE

    def _positions_of(self, hits: Sequence[Hit]) -> HitPositions:
        return HitPositions(
            [at for at, _ in hits],
            [at for at, kind in hits if self._roles[kind] is HitRole.ENCODED],
        )

    def _edit_json(self, text: bytes, nest: int) -> EditedLine:
        """Edit a JSON text that was not part of the chunk's scan, at the given nesting level."""
        if self._has_custom_rules:
            return self._edit(text, None, nest)
        self._budget.spend(len(text) // _BYTES_PER_STEP)
        try:
            hits: Sequence[Hit] | None = self._candidates.find_hits(text)
        except TooManyHits:
            hits = None
        return self._edit(text, hits, nest)
