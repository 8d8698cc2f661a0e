"""Every rule is tested with its own examples."""

from __future__ import annotations

import json
import re

import pytest

from tracesidecar.sanitize.detect.rule_conditions import rule_conditions
from tracesidecar.sanitize.engine.re2_patterns import Re2Pattern
from tracesidecar.sanitize.rules.catalogue import RuleCatalogue, load_catalogue
from tracesidecar.sanitize.rules.key_names import KeyMatcher
from tracesidecar.sanitize.sanitizer import Sanitizer

CATALOGUE = load_catalogue()
POSITIVES = [
    (rule.id, CATALOGUE.example(text)) for rule in CATALOGUE.rule for text in rule.positives
]
NEGATIVES = [
    (rule.id, CATALOGUE.example(text)) for rule in CATALOGUE.rule for text in rule.negatives
]


def secret_of(rule_id: str, example: str) -> str:
    """Return what the rule's regex would redact."""
    rule = next(rule for rule in CATALOGUE.rule if rule.id == rule_id)
    pattern = Re2Pattern(rule.regex)
    match = pattern.search(example.encode())
    assert match is not None
    spans = [
        match.span(group)
        for group in (rule.group, *range(pattern.groups, 0, -1))
        if group <= pattern.groups
    ]
    start, end = next(span for span in spans if span[0] >= 0)
    return example.encode()[start:end].decode()


@pytest.mark.parametrize(("rule_id", "example"), POSITIVES)
def test_every_positive_example_is_redacted(
    everything: Sanitizer, rule_id: str, example: str
) -> None:
    assert secret_of(rule_id, example) not in everything.redact_text(example)
    line = everything.redact_line(json.dumps({"text": example}).encode())
    assert isinstance(line, bytes)
    assert secret_of(rule_id, example) not in json.loads(line)["text"]


@pytest.mark.parametrize(("rule_id", "example"), NEGATIVES)
def test_no_negative_example_is_redacted(strict: Sanitizer, rule_id: str, example: str) -> None:
    assert strict.redact_text(example) == example
    line = json.dumps({"text": example}).encode()
    assert strict.redact_line(line) == line


def test_every_rule_has_two_examples_of_each_kind_of_its_own(catalogue: RuleCatalogue) -> None:
    assert all(len(rule.positives) == len(rule.negatives) == 2 for rule in catalogue.rule)
    examples = [text for rule in catalogue.rule for text in rule.positives]
    assert len(set(examples)) == len(examples)


def test_every_condition_that_a_rule_names_exists(catalogue: RuleCatalogue) -> None:
    known = {*rule_conditions(KeyMatcher(catalogue.keys)), "", "assignment"}
    assert {rule.condition for rule in catalogue.rule} <= known


def test_rules_use_only_syntax_that_all_engines_support(catalogue: RuleCatalogue) -> None:
    for rule in catalogue.rule:
        for pattern in (rule.regex, rule.prefilter):
            assert re.search(r"\(\?[=!<]|\\[dDwWsS]|\\[1-9]", pattern) is None, rule.id
