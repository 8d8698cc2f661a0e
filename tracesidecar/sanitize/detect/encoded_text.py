"""Encoded views of a text: where a rule hits in one, what is written there is cut from the text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.budget import Budget
from tracesidecar.sanitize.detect.decoders import (
    DECODERS,
    DecodedText,
    TooLargeToUnpack,
    base64_content,
    view_through,
    written_spans,
)
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.line_wraps import joined_words
from tracesidecar.sanitize.engine.interface import ScanEngine, ScanPattern
from tracesidecar.sanitize.engine.re2_patterns import Re2Pattern
from tracesidecar.sanitize.markers import Span, merge_spans
from tracesidecar.sanitize.prefilter.token_prefixes import token_prefixes
from tracesidecar.sanitize.rules.catalogue import Rule

BASE64_RULE = "base64"
_ROUNDS = 3
"""So often are all decoders asked one after another: a percent sign may be written in percent."""
_SHORTEST_REST = 8
_LINE_OF_BASE64 = Re2Pattern(r"(?:^|[\s>|])[A-Za-z0-9+/]{40,}\r?\n[ \t>|]*[A-Za-z0-9+/]")
_DEPTH = 4
"""Base64 in base64, and packed data in it, is followed so deep."""
_RUN_START = "(?:^|[^A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24}"
_RUN_START_LENGTH = 24
_MOST_RUNS = 1 << 22
_STEPS_A_PIECE = 1
_BYTES_A_STEP = 300
_CHARACTERS_A_STEP = 100


class EncodedText:
    """Looks at a text through the decoders, one upon the other, and into base64."""

    def __init__(
        self, rules: Detector, catalogue: Iterable[Rule], engine: ScanEngine, budget: Budget
    ) -> None:
        self._rules = rules
        self._budget = budget
        self._run_starts = engine.compile("runs", [ScanPattern(0, _RUN_START)], limit=_MOST_RUNS)
        self._tokens = {
            rule.id: prefixes for rule in catalogue if (prefixes := token_prefixes(rule))
        }
        begun = "|".join(
            sorted({re.escape(prefix) for prefixes in self._tokens.values() for prefix in prefixes})
        )
        self._begun_line = Re2Pattern(rf"(?:{begun})[A-Za-z0-9+/_=.-]*[\r\n]") if begun else None

    def find_spans(self, text: bytes, plain: Sequence[Span]) -> list[Span]:
        """Return what to cut beyond `plain`, which the rules find in the text itself: in the text's
        own bytes, sorted and apart.
        """
        return self._spans(text, plain, _DEPTH, {})

    def _spans(
        self, text: bytes, plain: Sequence[Span], depth: int, judged: dict[bytes, bool]
    ) -> list[Span]:
        source = text.decode("utf-8", "replace")
        found = self._run_spans(text, plain, depth, judged)
        layers: list[DecodedText] = []
        for _ in range(_ROUNDS):
            self._budget.spend(len(source) // _CHARACTERS_A_STEP)
            count = len(layers)
            for decoder in DECODERS:
                view = view_through(decoder, source)
                if view is not None:
                    self._budget.spend(_STEPS_A_PIECE * view.count)
                    layers.append(view)
                    source = view.text
            if len(layers) == count:
                break
            text = source.encode("utf-8", "replace")
            plain = self._rules.find_spans(text)
            found += written_spans(layers, plain) if plain else []
        if layers:
            shown = self._run_spans(text, plain, depth, judged)
            found += written_spans(layers, shown) if shown else []
        return merge_spans(found)

    def _run_spans(
        self, text: bytes, plain: Sequence[Span], depth: int, judged: dict[bytes, bool]
    ) -> list[Span]:
        """What stands in base64, and tokens and base64 that go on behind the end of a line."""
        encoded = self._base64_spans(text, depth, judged)
        if not self._is_wrapped(text):
            return encoded
        self._budget.spend(_STEPS_A_PIECE * text.count(b"\n"))
        known = merge_spans([*plain, *encoded])
        found = encoded
        for view in joined_words(text):
            tokens = [span for span in self._rules.find_spans(view.text) if span[2] in self._tokens]
            behind = self._base64_spans(view.text, depth, judged)
            places = [
                (*view.source_span(start, end), rule) for start, end, rule in (*tokens, *behind)
            ]
            longer = [place for place in places if _goes_on(text, known, place)]
            known = merge_spans([*known, *longer])
            found += longer
        return found

    def _is_wrapped(self, text: bytes) -> bool:
        """True when a token or a line of base64, which hashes are not, may go on in the next line."""
        if b"\n" not in text and b"\r" not in text:
            return False
        if self._begun_line is not None and self._begun_line.search(text) is not None:
            return True
        return any(
            patterns.BASE64_NOT_HEX.search(text, *match.span()) is not None
            for match in _LINE_OF_BASE64.finditer(text)
        )

    def _base64_spans(self, text: bytes, depth: int, judged: dict[bytes, bool]) -> list[Span]:
        """Runs of base64 with a secret in them; `judged` remembers those that were met in another
        view.
        """
        if not depth:
            return []
        found: list[Span] = []
        self._budget.spend(len(text) // _BYTES_A_STEP)
        for start, end in self._base64_runs(text):
            self._budget.spend(_STEPS_A_PIECE)
            run = text[start:end]
            if run not in judged:
                self._budget.spend(_STEPS_A_PIECE + (end - start) // _CHARACTERS_A_STEP)
                judged[run] = self._hides_a_secret(run, depth - 1)
            if judged[run]:
                found.append((start, end, BASE64_RULE))
        return found

    def _base64_runs(self, text: bytes) -> Iterator[tuple[int, int]]:
        done = 0
        for hit, _ in self._run_starts.find_hits(text):
            at = hit - _RUN_START_LENGTH
            while at >= done and (run := patterns.BASE64_RUN.match(text, at)) is not None:
                yield at, run.end()
                at = done = run.end()

    def _hides_a_secret(self, run: bytes, depth: int) -> bool:
        try:
            content = base64_content(run)
        except TooLargeToUnpack:
            return True
        if content is None:
            return False
        if self._rules.find_spans(content.text):
            return True
        # packed data in packed data would multiply the work: there, base64 is only followed one
        # level
        return bool(
            self._spans(content.text, (), min(depth, 1) if content.was_packed else depth, {})
        )


def _goes_on(text: bytes, known: Sequence[Span], joined: Span) -> bool:
    """False when a token found in lines put together is known already and seems to end there: what
    is added is a word, or the name of a variable.
    """
    start, end, _ = joined
    last = bisect_left(known, end, key=lambda span: span[0]) - 1
    if last < 0 or known[last][1] <= start:
        return True
    rest = text[known[last][1] : end].strip()
    return (
        len(rest) >= _SHORTEST_REST
        and text[end : end + 1] != b"="
        and not rest.isalpha()
        and not rest.isdigit()
    )
