"""Secrets in encoded text: where a rule matches the decoded text, its encoded form is redacted."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.budget import Budget
from tracesidecar.sanitize.detect.decoders import (
    DECODERS,
    DUMP_DECODERS,
    DUMP_SIGN,
    DecodedText,
    TooLargeToUnpack,
    base64_content,
    decode_text,
    spans_in_source,
)
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.line_wraps import join_wrapped_words
from tracesidecar.sanitize.engine import Re2Pattern, ScanEngine, ScanPattern, find_hits
from tracesidecar.sanitize.markers import Span, merge_spans
from tracesidecar.sanitize.prefilter import token_prefixes_of
from tracesidecar.sanitize.rules import Rule

BASE64_RULE = "base64"
_ROUNDS = 3
"""How often all decoders run in turn: a percent sign may itself be percent-encoded."""
_SHORTEST_REST = 8
_LINE_OF_BASE64 = Re2Pattern(r"(?:^|[\s>|])[A-Za-z0-9+/]{40,}\r?\n[ \t>|]*[A-Za-z0-9+/]")
_DEPTH = 4
"""How many levels of base64 and of compressed data inside base64 are decoded."""
_RUN_START = "(?:^|[^A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24}"
_RUN_START_LENGTH = 24
_STEPS_PER_TEXT = 14
_STEPS_PER_PIECE = 1
_BYTES_PER_STEP = 200
_CHARACTERS_PER_STEP = 60


class EncodedText:
    """Finds secrets in a text through all decoders, one on top of the other, and inside base64."""

    def __init__(
        self, detector: Detector, rules: Iterable[Rule], engine: ScanEngine, budget: Budget
    ) -> None:
        self._detector = detector
        self._budget = budget
        self._run_starts = engine.compile("runs", [ScanPattern(0, _RUN_START)])
        self._tokens = {
            rule.id: prefixes for rule in rules if (prefixes := token_prefixes_of(rule))
        }
        prefixes_pattern = "|".join(
            sorted({re.escape(prefix) for prefixes in self._tokens.values() for prefix in prefixes})
        )
        self._wrapped_token = (
            Re2Pattern(rf"(?:{prefixes_pattern})[A-Za-z0-9+/_=.-]*[\r\n]")
            if prefixes_pattern
            else None
        )

    def find_spans(self, text: bytes, plain: Sequence[Span]) -> list[Span]:
        """Return what to redact beyond `plain`, the spans that the rules find in the text itself.

        The spans are offsets in the text, sorted and disjoint.
        """
        return self._find_spans(text, plain, _DEPTH, {})

    def _find_spans(
        self, text: bytes, plain: Sequence[Span], depth: int, judged: dict[bytes, bool]
    ) -> list[Span]:
        self._budget.spend(_STEPS_PER_TEXT)
        source = text.decode("utf-8", "replace")
        found = self._run_spans(text, plain, depth, judged)
        layers: list[DecodedText] = []
        for _ in range(_ROUNDS):
            self._budget.spend(len(source) // _CHARACTERS_PER_STEP)
            count = len(layers)
            has_dump = DUMP_SIGN.search(source.encode("utf-8", "replace")) is not None
            for decoder in (*DUMP_DECODERS, *DECODERS) if has_dump else DECODERS:
                decoded = decode_text(decoder, source)
                if decoded is not None:
                    self._budget.spend(_STEPS_PER_PIECE * decoded.count)
                    layers.append(decoded)
                    source = decoded.text
            if len(layers) == count:
                break
            text = source.encode("utf-8", "replace")
            plain = self._detector.find_spans(text)
            found += spans_in_source(layers, plain) if plain else []
        if layers:
            in_runs = self._run_spans(text, plain, depth, judged)
            found += spans_in_source(layers, in_runs) if in_runs else []
        return merge_spans(found)

    def _run_spans(
        self, text: bytes, plain: Sequence[Span], depth: int, judged: dict[bytes, bool]
    ) -> list[Span]:
        """Find secrets in base64, and tokens and base64 that continue on the next line."""
        encoded = self._base64_spans(text, depth, judged)
        self._budget.spend(len(text) // _BYTES_PER_STEP)
        if not self._is_wrapped(text):
            return encoded
        self._budget.spend(_STEPS_PER_PIECE * text.count(b"\n"))
        known = merge_spans([*plain, *encoded])
        found = encoded
        for joined in join_wrapped_words(text):
            tokens = [
                span for span in self._detector.find_spans(joined.text) if span[2] in self._tokens
            ]
            in_base64 = self._base64_spans(joined.text, depth, judged)
            spans = [
                (*joined.source_span(start, end), rule)
                for start, end, rule in (*tokens, *in_base64)
            ]
            longer = [span for span in spans if _continues(text, known, span)]
            known = merge_spans([*known, *longer])
            found += longer
        return found

    def _is_wrapped(self, text: bytes) -> bool:
        """Return True if a token or a line of base64 (not of hex) may continue on the next line."""
        if b"\n" not in text and b"\r" not in text:
            return False
        if self._wrapped_token is not None and self._wrapped_token.search(text) is not None:
            return True
        return any(
            patterns.BASE64_NOT_HEX.search(text, *match.span()) is not None
            for match in _LINE_OF_BASE64.finditer(text)
        )

    def _base64_spans(self, text: bytes, depth: int, judged: dict[bytes, bool]) -> list[Span]:
        """Return the runs of base64 that hold a secret.

        `judged` remembers runs that were already met in another decoded form of the text.
        """
        if not depth:
            return []
        found: list[Span] = []
        self._budget.spend(len(text) // _BYTES_PER_STEP)
        for start, end in self._base64_runs(text):
            self._budget.spend(_STEPS_PER_PIECE)
            run = text[start:end]
            if run not in judged:
                self._budget.spend(_STEPS_PER_PIECE + (end - start) // _CHARACTERS_PER_STEP)
                judged[run] = self._hides_a_secret(run, depth - 1)
            if judged[run]:
                found.append((start, end, BASE64_RULE))
        return found

    def _base64_runs(self, text: bytes) -> Iterator[tuple[int, int]]:
        done = 0
        for hit, _ in find_hits(self._run_starts, text):
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
        if self._detector.find_spans(content.text):
            return True
        # compressed data inside compressed data would multiply the work: there, base64 is decoded
        # only one level deep
        return bool(
            self._find_spans(
                content.text, (), min(depth, 1) if content.was_compressed else depth, {}
            )
        )


def _continues(text: bytes, known: Sequence[Span], joined: Span) -> bool:
    """Return False if a token in joined lines is known already and seems to end with its line.

    What the next line adds is then a word, or the name of a variable.
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
