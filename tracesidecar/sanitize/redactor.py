"""A chunk of valid lines in, the same lines without secrets out; every byte that is no secret stays
as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from tracesidecar.sanitize.budget import Budget, OverBudget
from tracesidecar.sanitize.detect.confirm import HitConfirmer
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.encoded_text import EncodedText
from tracesidecar.sanitize.edit.fast_path import NeedsTreeWalk, edit_near_hits
from tracesidecar.sanitize.edit.line_editor import (
    EVERYWHERE,
    CleanTextCache,
    Edit,
    EditedLine,
    EditTools,
    HitPositions,
    KnownEdits,
    LineEditor,
    chain,
    splice,
)
from tracesidecar.sanitize.edit.recheck import Recheck
from tracesidecar.sanitize.edit.split_secrets import SplitSecrets
from tracesidecar.sanitize.edit.stream_edits import StreamEdits
from tracesidecar.sanitize.edit.tree_walk import edit_tree
from tracesidecar.sanitize.engine.interface import Hit, ScanEngine, TooManyHits
from tracesidecar.sanitize.markers import Marker
from tracesidecar.sanitize.prefilter.anchors import HitRole, key_name_pattern
from tracesidecar.sanitize.prefilter.candidates import Candidates
from tracesidecar.sanitize.prefilter.token_prefixes import BLOCK_RULES, block_starts, token_prefixes
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules.allowlist import AllowedPaths
from tracesidecar.sanitize.rules.catalogue import Rule, Vocabulary
from tracesidecar.sanitize.rules.custom_rules import NO_CUSTOM_RULES, CustomRules
from tracesidecar.sanitize.rules.key_names import KeyMatcher
from tracesidecar.sanitize.streams import StreamedText, find_streams

_VERIFIED_PART = 4
"""Verification may cost so much less than the cut that it is to save."""


SuspectLine = tuple[int, int, Sequence[Hit] | None]
"""A line [start, end), without its newline, and its hits (None: anything may stand anywhere)."""


class StreamNotRedacted(Exception):
    """The text that a line carries a piece of could not be looked at."""


class FailedLine(NamedTuple):
    """A line [start, end) of the given data that is held back."""

    start: int
    end: int
    reason: RejectionReason


class RedactedLines(NamedTuple):
    """What became of a chunk; `data` lacks the failed lines."""

    data: bytes
    cuts: Counter[str]
    failed: list[FailedLine]


class ScannedLines(NamedTuple):
    """Whole lines, those of them in which something may have to be cut, and the messages that are
    streamed over them.
    """

    data: bytes
    suspects: Sequence[SuspectLine]
    streams: Sequence[StreamedText]


class RedactionPolicy(NamedTuple):
    """What to cut and how to mark it: the options, checked."""

    rules: Sequence[Rule]
    vocabulary: Vocabulary
    own: CustomRules = NO_CUSTOM_RULES
    key_names: Sequence[str] = ()
    allowed: frozenset[str] = frozenset()
    hmac_key: str | None = None


class Redactor:
    """Redacts chunks. For one thread at a time."""

    def __init__(self, policy: RedactionPolicy, engine: ScanEngine) -> None:
        keys = KeyMatcher(policy.vocabulary, policy.key_names)
        custom_words = [key_name_pattern(name) for name in policy.key_names]
        self.budget = Budget()
        rules = Detector(
            policy.rules,
            engine,
            keys,
            self.budget,
            own=policy.own,
            custom_words=custom_words,
            allowed=policy.allowed,
        )
        self.marker = Marker(policy.hmac_key)
        self.rules = rules
        tokens = frozenset(rule.id for rule in policy.rules if token_prefixes(rule))
        self.views = EncodedText(rules, policy.rules, engine, self.budget)
        self._split_secrets = SplitSecrets(
            rules, self.marker, self.budget, tokens=tokens, blocks=BLOCK_RULES
        )
        self._own = policy.own
        self._candidates = Candidates(policy.rules, engine, policy.key_names)
        self._roles = self._candidates.roles
        self._verifier = HitConfirmer(rules, keys, self._roles, self.budget)
        self._stream_edits = StreamEdits(rules, self.views, self.marker)
        self._recheck = Recheck(self._sure_edits, self.marker)
        self._tools = EditTools(
            rules,
            self.views,
            keys,
            self.marker,
            self.budget,
            self._nested,
            CleanTextCache(),
            AllowedPaths(policy.allowed),
        )

    def scan(self, data: bytes) -> ScannedLines:
        """Look at every byte of whole lines, each ended by a newline."""
        signs: list[int] = []
        try:
            suspects = _by_line(data, self._candidates.find_hits(data, signs))
        except Exception:  # noqa: BLE001 - too many, or a scan failed: each line for itself, so that a failure costs one line
            suspects, signs = self._scan_lines(data)
        return ScannedLines(data, suspects, find_streams(data, signs))

    def _scan_lines(self, data: bytes) -> tuple[list[SuspectLine], list[int]]:
        suspects: list[SuspectLine] = []
        signs: list[int] = []
        for start, end in _lines(data):
            found: list[int] = []
            try:
                hits = self._candidates.find_hits(data[start:end], found)
                if hits:
                    suspects.append((start, end, [(start + at, kind) for at, kind in hits]))
            except Exception:  # noqa: BLE001 - fail closed: anything may stand anywhere
                suspects.append((start, end, None))
                found = [end - start]
            signs += [start + at for at in found]
        return suspects, signs

    def redact(self, scanned: ScannedLines) -> RedactedLines:
        """Redact the lines, and the texts that are streamed over several of them.

        Never raises for what the data holds: a line that cannot be redacted is held back.
        """
        data, _, streams = scanned
        cuts: Counter[str] = Counter()
        failed: list[FailedLine] = []
        pieces: list[bytes] = []
        position = 0
        streamed = self._streamed(data, streams) if streams else {}
        for start, end, hits in self._suspects(scanned, streamed):
            try:
                edited = self._checked(
                    self._streamed_line(data, start, end, streamed[start])
                    if start in streamed
                    else self._line(data, start, end, hits)
                )
            except Exception as error:  # noqa: BLE001 - fail closed: whatever went wrong, this line does not pass
                failed.append(
                    FailedLine(
                        start,
                        end,
                        RejectionReason.TOO_DEEP
                        if isinstance(error, RecursionError)
                        else RejectionReason.REDACTION_FAILED,
                    )
                )
                pieces.append(data[position:start])
                position = min(end + 1, len(data))
                continue
            if edited is not None and edited.edits:
                cuts.update(rule for edit in edited.edits for rule in edit.rules)
                pieces += (data[position:start], edited.line)
                position = end
        if not pieces:
            return RedactedLines(data, cuts, failed)
        pieces.append(data[position:])
        return RedactedLines(b"".join(pieces), cuts, failed)

    def redact_line(self, line: bytes) -> EditedLine:
        """Redact one line (without its newline) and say what was done; may raise anything."""
        suspect = next(iter(self._suspects(self.scan(line), {})), None)
        edited = (
            self._checked(self._line(line, 0, len(line), suspect[2]))
            if suspect is not None
            else None
        )
        return edited if edited is not None else EditedLine(line, ())

    def _streamed(
        self, data: bytes, streams: Sequence[StreamedText]
    ) -> dict[int, tuple[int, list[Edit] | None]]:
        """For the start of each line with a part of a streamed secret its end and edits; no edits
        where finding them failed.
        """
        lines: dict[int, tuple[int, list[Edit] | None]] = {}
        for stream in streams:
            self.budget.begin(sum(len(piece.text) for piece in stream.pieces))
            try:
                for (start, end), edits in self._stream_edits.find_edits(data, stream).items():
                    _, before = lines.setdefault(start, (end, []))
                    if before is not None:
                        before += edits
            except Exception:  # noqa: BLE001 - fail closed: no line of this text passes
                lines.update((piece.start, (piece.end, None)) for piece in stream.pieces)
        return lines

    def _streamed_line(
        self, data: bytes, start: int, end: int, streamed: tuple[int, list[Edit] | None]
    ) -> EditedLine:
        if streamed[1] is None:
            raise StreamNotRedacted
        self.budget.begin(end - start)
        edited = splice(data[start:end], streamed[1])
        return chain(edited, self._nested(edited.line, 0))

    def _checked(self, edited: EditedLine | None) -> EditedLine | None:
        return self._recheck.check(edited) if edited is not None else None

    def _sure_edits(self, line: bytes) -> Sequence[Edit]:
        """What the rules with an anchor of their own would still cut."""
        self.budget.begin(len(line))
        hits = [
            hit
            for hit in self._candidates.find_anchor_hits(line)
            if self._roles[hit[1]] is HitRole.CERTAIN
        ]
        return self._cut(line, hits, 0).edits if hits else ()

    def _suspects(
        self, scanned: ScannedLines, streamed: Mapping[int, tuple[int, object]]
    ) -> Sequence[SuspectLine]:
        """Lines to look at, with those in which rules of the user match, or a streamed message has
        a part.
        """
        suspects = (
            self._with_custom_rules(scanned.data, scanned.suspects)
            if self._own
            else scanned.suspects
        )
        if not streamed:
            return suspects
        known = {start for start, _, _ in suspects}
        return sorted(
            (
                *suspects,
                *((start, end, None) for start, (end, _) in streamed.items() if start not in known),
            ),
            key=itemgetter(0),
        )

    def _with_custom_rules(self, data: bytes, suspects: Sequence[SuspectLine]) -> list[SuspectLine]:
        """Add the lines in which a rule of the user matches: no anchor can be derived from any
        regex, so each line is asked.
        """
        by_start = {start: (start, end, hits) for start, end, hits in suspects}
        for start, end in _lines(data):
            if self._own.may_match(data[start:end]):
                by_start[start] = (start, end, None)
        return [by_start[start] for start in sorted(by_start)]

    def _line(
        self, data: bytes, start: int, end: int, hits: Sequence[Hit] | None
    ) -> EditedLine | None:
        if hits is None:
            self.budget.begin(end - start)
            return self._cut(data[start:end], None, 0)
        if not self._is_confirmed(data, start, end, hits):
            return None
        self.budget.begin(end - start)
        return self._cut(data[start:end], [(at - start, kind) for at, kind in hits], 0)

    def _is_confirmed(self, data: bytes, start: int, end: int, hits: Sequence[Hit]) -> bool:
        self.budget.begin((end - start) // _VERIFIED_PART)
        try:
            return self._verifier.confirms(data, start, end, hits)
        except OverBudget:
            return True

    def _cut(self, raw: bytes, hits: Sequence[Hit] | None, nest: int) -> EditedLine:
        if hits is None:
            return self._walked(raw, EVERYWHERE, nest, None, {})
        heat = self._positions_of(hits)
        known: KnownEdits = {}
        if nest == 0 and (edited := self._cut_plain(raw, hits, heat, known)) is not None:
            return edited
        return self._walked(
            raw,
            heat,
            nest,
            [*(at for at, kind in hits if self._roles[kind] is HitRole.SPLIT), *block_starts(raw)],
            known,
        )

    def _cut_plain(
        self, raw: bytes, hits: Sequence[Hit], heat: HitPositions, known: KnownEdits
    ) -> EditedLine | None:
        """Cut around the hits without decoding the line; None where its shape is not plain."""
        line = LineEditor(self._tools, raw, heat, 0, known)
        try:
            edit_near_hits(line, hits, self._roles)
        except NeedsTreeWalk:
            return None
        return line.splice()

    def _walked(
        self,
        raw: bytes,
        heat: HitPositions,
        nest: int,
        begun: Sequence[int] | None,
        known: KnownEdits,
    ) -> EditedLine:
        """Cut everywhere; `begun` are the places of secrets that may go on in the next string
        (None: anywhere).
        """
        if (begun is None or begun) and (edits := self._split_secrets.find_edits(raw, begun)):
            joined = splice(raw, edits)
            return chain(joined, self._walked(joined.line, self._heat(joined.line), nest, (), {}))
        line = LineEditor(self._tools, raw, heat, nest, known)
        edit_tree(line)
        return line.splice()

    def _heat(self, raw: bytes) -> HitPositions:
        if self._own:
            return EVERYWHERE
        try:
            return self._positions_of(self._candidates.find_hits(raw))
        except TooManyHits:
            return EVERYWHERE

    def _positions_of(self, hits: Sequence[Hit]) -> HitPositions:
        return HitPositions(
            [at for at, _ in hits],
            [at for at, kind in hits if self._roles[kind] is HitRole.ENCODED],
        )

    def _nested(self, text: bytes, nest: int) -> EditedLine:
        if self._own:
            return self._cut(text, None, nest)
        try:
            hits: Sequence[Hit] | None = self._candidates.find_hits(text)
        except TooManyHits:
            hits = None
        return self._cut(text, hits, nest)


def _lines(data: bytes) -> list[tuple[int, int]]:
    """[start, end) of each line, without its newline."""
    lines, start = [], 0
    for line in data.split(b"\n"):
        if line:
            lines.append((start, start + len(line)))
        start += len(line) + 1
    return lines


def _by_line(data: bytes, hits: Sequence[Hit]) -> list[SuspectLine]:
    suspects: list[SuspectLine] = []
    i, total = 0, len(hits)
    while i < total:
        at = hits[i][0]
        start = data.rfind(b"\n", 0, at - 1) + 1
        end = data.find(b"\n", at - 1)
        if end < 0:
            end = len(data)
        first = i
        while i < total and hits[i][0] <= end + 1:
            i += 1
        suspects.append((start, end, hits[first:i]))
    return suspects
