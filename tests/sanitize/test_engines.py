"""Hyperscan must find everything that RE2 finds, and RE2 alone must redact the same."""

from __future__ import annotations

import json
import random

import pytest

from tests.sanitize.lines import load_labelled, placements
from tracesidecar.sanitize.detect.assignments import WORDS
from tracesidecar.sanitize.engine.hyperscan_engine import HyperscanEngine
from tracesidecar.sanitize.engine.interface import ScanPattern
from tracesidecar.sanitize.engine.re2_engine import Re2Engine
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.prefilter import anchors
from tracesidecar.sanitize.rules.catalogue import RuleCatalogue, active_rules, load_catalogue
from tracesidecar.sanitize.sanitizer import Sanitizer

CATALOGUE = load_catalogue()
RULES = active_rules(CATALOGUE, RedactionOptions(pii=True))
EXAMPLES = [CATALOGUE.example(text) for rule in RULES for text in rule.positives]
OFFSETS = (0, 1, 7, 15, 16, 17, 31, 33, 63, 64, 65, 130)
FILLERS = (b" ", b"x", b'the quick brown fox jumps over {"a": "lazy"} dogs, ')


@pytest.fixture(scope="module")
def re2_only() -> Sanitizer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracesidecar.sanitize.sanitizer.choose_engine", lambda *_: Re2Engine())
        return Sanitizer(RedactionOptions(pii=True))


def find_missed(patterns: list[ScanPattern], texts: list[bytes]) -> set[int]:
    """Pattern ids that RE2 finds in a text and Hyperscan does not."""
    fast = HyperscanEngine().compile("fast", patterns, once=True)
    slow = Re2Engine().compile("slow", patterns, once=True)
    return {
        found
        for text in texts
        for found in slow.find_first_hits(text).keys() - fast.find_first_hits(text).keys()
    }


def at_many_offsets() -> list[bytes]:
    texts = []
    for number, example in enumerate(EXAMPLES):
        for offset in OFFSETS:
            filler = FILLERS[(offset + number) % 3]
            texts.append((filler * 200)[:offset] + b" " + example.encode() + b"  tail of the line")
    return texts


def test_hyperscan_finds_each_rule_wherever_re2_does() -> None:
    patterns = [ScanPattern(i, rule.prefilter) for i, rule in enumerate(RULES)]
    assert {RULES[i].id for i in find_missed(patterns, at_many_offsets())} == set()


def test_hyperscan_finds_each_anchor_wherever_re2_does() -> None:
    kinds = [
        *anchors.rule_anchors(RULES),
        *anchors.keyword_anchors(),
        *anchors.list_encoded_anchors(),
        anchors.numeric_anchor(),
        anchors.base64_text_anchor(),
    ]
    patterns = [
        ScanPattern(i, pattern) for i, kind in enumerate(kinds) for pattern in kind.patterns
    ]
    patterns.append(ScanPattern(len(kinds), WORDS))
    raw = [line for example in EXAMPLES for _, line in placements(example)]
    found = find_missed(patterns, [*at_many_offsets(), *raw])
    assert {kinds[i].name for i in found} == set()


def test_re2_alone_redacts_the_same(strict: Sanitizer, re2_only: Sanitizer) -> None:
    assert (strict.engine, re2_only.engine) == ("hyperscan", "re2")
    for example in EXAMPLES:
        for place, line in placements(example):
            assert re2_only.redact_line(line) == strict.redact_line(line), place


def test_re2_alone_redacts_the_same_in_labelled_texts(
    strict: Sanitizer, re2_only: Sanitizer
) -> None:
    rows = random.Random(1).sample(load_labelled("redaction-dev.jsonl.gz"), 120)
    for row in rows:
        line = json.dumps({"id": row["id"], "out": row["text"]}).encode()
        assert re2_only.redact_line(line) == strict.redact_line(line), row["id"]


def test_the_same_options_have_the_same_version_on_both_engines(
    strict: Sanitizer, re2_only: Sanitizer, catalogue: RuleCatalogue
) -> None:
    assert strict.version == re2_only.version
    assert catalogue.meta.version == 1
