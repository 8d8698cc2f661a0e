"""Each scanner takes time that grows no faster than the text, whatever the text repeats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from statistics import median

import pytest

from tests.sanitize.rule_units import repeat, units_of_expression, units_of_rule
from tracesidecar.sanitize.detect import assignments
from tracesidecar.sanitize.engine import (
    Re2Pattern,
    ScanPattern,
    TooManyHits,
    choose_engine,
    find_first_hits,
    find_hits,
)
from tracesidecar.sanitize.engine.windows import OVERLAP_BYTES, WINDOW_BYTES
from tracesidecar.sanitize.rules import RuleCatalogue
from tracesidecar.sanitize.sanitizer import Sanitizer

KIB = 1 << 10
MOST_GROWTH = 7.0
"""Four times the text; a time that grows with the square takes sixteen times as long."""
SHORTEST_SECONDS = 0.004
"""Less is too short to be compared."""
FOUND_ONCE = ("?secret=", "?token=", "----BEGIN PRIVATE KEY", '"d":\'AAAAAAAAAAAAAAAA', '"kty"')

Scan = Callable[[bytes], object]


def scans_of(sanitizer: Sanitizer) -> dict[str, Scan]:
    """Return every scan over a text or a chunk, as the redactor makes it."""
    redactor = sanitizer._redactor
    detector, candidates = redactor.detector, redactor._scanner._candidates
    assert detector._prefilter is not None
    return {
        "rules": partial(find_first_hits, detector._prefilter),
        "words": lambda text: list(find_hits(detector._assignments._words, text)),
        "runs": lambda text: list(find_hits(redactor._encoded_text._run_starts, text)),
        "wraps": redactor._encoded_text._is_wrapped,
        "chunk": candidates.find_hits,
        "anchors": candidates.find_anchor_hits,
    }


def seconds(scan: Scan, text: bytes, tries: int = 1) -> float:
    def measure() -> float:
        started = time.thread_time()
        with suppress(TooManyHits):
            scan(text)
        return time.thread_time() - started

    return min(measure() for _ in range(tries))


def growth(scan: Scan, unit: str, size: int) -> float:
    """Return how much longer four times the text takes."""
    small = max(SHORTEST_SECONDS, seconds(scan, repeat(unit, size), 3))
    return min(seconds(scan, repeat(unit, 4 * size)) for _ in range(2)) / small


def find_faster_growing(scan: Scan, units: Iterable[str], size: int) -> dict[str, float]:
    found = {unit: growth(scan, unit, size) for unit in units}
    return {unit: ratio for unit, ratio in found.items() if ratio > MOST_GROWTH}


@pytest.mark.parametrize("unit", FOUND_ONCE)
def test_time_no_longer_grows_with_the_square(everything: Sanitizer, unit: str) -> None:
    for name, scan in scans_of(everything).items():
        assert growth(scan, unit, 64 * KIB) < MOST_GROWTH, name
    redactor = everything._redactor

    def find_spans(text: bytes) -> None:
        redactor._budget.begin(1 << 40)
        redactor.detector.find_spans(text)

    assert growth(find_spans, unit, 64 * KIB) < MOST_GROWTH


def test_each_rule_takes_time_linear_in_its_own_examples(catalogue: RuleCatalogue) -> None:
    for rule in catalogue.rule:
        scan = drain(Re2Pattern(rule.regex))
        for unit in rule.positives[:1]:
            assert growth(scan, catalogue.example(unit), 16 * KIB) < MOST_GROWTH, rule.id


def drain(pattern: Re2Pattern) -> Scan:
    return lambda text: sum(1 for _ in pattern.finditer(text))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_each_expression_takes_time_linear_in_what_it_matches(catalogue: RuleCatalogue) -> None:
    """Of each rule, the three units that take longest are compared at three sizes."""
    for rule in catalogue.rule:
        scan = drain(Re2Pattern(rule.regex))
        units = units_of_rule(rule, catalogue)
        slowest = sorted(units, key=lambda unit: seconds(scan, repeat(unit, 16 * KIB)))[-3:]
        for size in (256 * KIB, 1024 * KIB):
            assert find_faster_growing(scan, slowest, size) == {}, rule.id


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "name",
    ["rules", "words", "runs", "wraps", "chunk", "anchors"],
)
def test_each_scanner_takes_time_linear_in_what_its_rules_match(
    everything: Sanitizer, catalogue: RuleCatalogue, name: str
) -> None:
    """What takes longer than usual is compared at three sizes."""
    scan = scans_of(everything)[name]
    units = dict.fromkeys(units_of_expression(assignments.WORDS))
    for rule in catalogue.rule:
        units.update(units_of_rule(rule, catalogue))
    spent = {unit: seconds(scan, repeat(unit, 64 * KIB)) for unit in units}
    usual = median(spent.values())
    slow = sorted((unit for unit in spent if spent[unit] > 2 * usual), key=spent.__getitem__)[-150:]
    for size in (256 * KIB, 1024 * KIB):
        assert find_faster_growing(scan, slow, size) == {}


def test_a_match_across_two_windows_is_found(
    everything: Sanitizer, catalogue: RuleCatalogue
) -> None:
    """Each rule's first example, before, across and behind the place where a window ends."""
    detector = everything._redactor.detector
    for rule in catalogue.rule:
        example = catalogue.example(rule.positives[0]).encode()
        assert rule.id in detector.list_examined(example)
        for shift in range(0, len(example) + 8, 5):
            before = b" ,.;" * (WINDOW_BYTES // 4)
            text = before[: WINDOW_BYTES - shift] + b"\n" + example + b"\n" + before
            assert rule.id in detector.list_examined(text), (rule.id, shift)


@pytest.mark.parametrize("fill", ["A", " ", "eyJhbGciOiJIUzI1NiJ9", "\\n"])
def test_a_token_longer_than_a_window_is_seen(everything: Sanitizer, fill: str) -> None:
    long = repeat(fill, 3 * WINDOW_BYTES)
    token = b"eyJ" + repeat("A", 2 * WINDOW_BYTES) + b".eyJzdWIiOiJkZW1vIn0.kT4FFF9jWg8hB3i7q5Vmb"
    text = b"password =" + long + b"= hunter2xyz " + token + b" end" * WINDOW_BYTES
    assert "jwt" in everything._redactor.detector.list_examined(text)


def test_every_hit_is_found_once_in_windows() -> None:
    engine = choose_engine(None)
    scanner = engine.compile("test", [ScanPattern(0, "ab")])
    text = b"ab" * (3 * WINDOW_BYTES) + b"x" * OVERLAP_BYTES
    assert sorted(find_hits(scanner, text)) == sorted(scanner.find_hits(text, len(text)))
    assert find_first_hits(scanner, text) == {0: 2}
