"""The self-test reports nothing while all is well, and the names of planted secrets that remain."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tracesidecar.errors import RedactionError
from tracesidecar.sanitize import active_rules, sanitizer
from tracesidecar.sanitize.detect.confirm import HitConfirmer
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.encoded_text import EncodedText
from tracesidecar.sanitize.engine.hyperscan_engine import HyperscanEngine
from tracesidecar.sanitize.engine.interface import HIT_LIMIT, Hit, ScanEngine, Scanner, ScanPattern
from tracesidecar.sanitize.engine.re2_engine import Re2Engine
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.prefilter.candidates import Candidates
from tracesidecar.sanitize.rules.catalogue import RuleCatalogue
from tracesidecar.sanitize.rules.key_names import KeyMatcher
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.units import Secret


def test_a_working_sanitizer_passes_its_self_test(
    secrets_only: Sanitizer, strict: Sanitizer
) -> None:
    assert secrets_only.self_test() == ()
    assert strict.self_test() == ()


def test_disabled_rules_are_not_part_of_the_self_test(cache_directory: str) -> None:
    options = RedactionOptions(disable=("aws-access-key-id", "github-token"), hmac_key=Secret("k"))
    assert Sanitizer(options, cache_directory=cache_directory).self_test() == ()


@pytest.mark.parametrize(
    ("stage", "broken"),
    [
        ((Candidates, "find_hits"), lambda *_: []),
        ((HitConfirmer, "confirms"), lambda *_: False),
        ((Detector, "find_spans"), lambda *_: []),
        ((EncodedText, "find_spans"), lambda *_: []),
        ((KeyMatcher, "_classify"), lambda *_: None),
    ],
)
def test_the_self_test_notices_a_stage_that_finds_nothing(
    monkeypatch: pytest.MonkeyPatch, cache_directory: str, stage: tuple[type, str], broken: object
) -> None:
    monkeypatch.setattr(*stage, broken)
    with pytest.raises(RedactionError, match=r"the redaction misses planted secrets \("):
        Sanitizer(RedactionOptions(), cache_directory=cache_directory)


class BlindScanner:
    """A compiled set of patterns that finds nothing."""

    def find_hits(self, data: bytes, limit: int | None = None) -> list[Hit]:
        """Find nothing."""
        return []

    def find_first_hits(self, data: bytes) -> dict[int, int]:
        """Find nothing."""
        return {}


class PartlyBlindEngine(Re2Engine):
    """An engine of which one database has lost all patterns, or the last but one."""

    def __init__(self, engine: ScanEngine, blind: str, *, wholly: bool) -> None:
        self._engine = engine
        self._blind = blind
        self._wholly = wholly
        self.compiled: set[str] = set()
        self.name, self.reports_every_end = engine.name, engine.reports_every_end

    def compile(
        self,
        name: str,
        patterns: Sequence[ScanPattern],
        *,
        once: bool = False,
        limit: int = HIT_LIMIT,
    ) -> Scanner:
        """Compile, if it is not the blind one."""
        self.compiled.add(name)
        if name == self._blind:
            if self._wholly:
                return BlindScanner()
            patterns = [*patterns[:-2], patterns[-1]]
        return self._engine.compile(name, patterns, once=once, limit=limit)

    def wait(self) -> None:
        """Wait for the others."""
        self._engine.wait()


GATE = "base64-runs"
"""RE2 needs no gate before the slow automaton."""
DATABASES = (
    *("anchors", "base64-runs", "base64-text", "encoded-text"),
    *("numeric", "rules", "runs", "words"),
)


@pytest.mark.parametrize(
    ("kind", "blind"),
    [
        *(("hyperscan", name) for name in DATABASES),
        *(("re2", name) for name in DATABASES if name != GATE),
    ],
)
def test_the_self_test_notices_each_database_that_is_blind_with_each_engine(
    monkeypatch: pytest.MonkeyPatch, cache_directory: str, kind: str, blind: str
) -> None:
    engine = PartlyBlindEngine(
        HyperscanEngine(cache_directory) if kind == "hyperscan" else Re2Engine(),
        blind,
        wholly=True,
    )
    monkeypatch.setattr(sanitizer, "choose_engine", lambda *_: engine)
    with pytest.raises(RedactionError):
        Sanitizer(RedactionOptions(pii=True), cache_directory=cache_directory)
    assert engine.compiled == set(DATABASES) - ({GATE} if kind == "re2" else set())


def test_the_self_test_notices_a_database_without_a_single_rule(
    monkeypatch: pytest.MonkeyPatch, cache_directory: str, catalogue: RuleCatalogue
) -> None:
    engine = PartlyBlindEngine(HyperscanEngine(cache_directory), "rules", wholly=False)
    monkeypatch.setattr(sanitizer, "choose_engine", lambda *_: engine)
    rule = active_rules(catalogue, RedactionOptions())[-2].id
    with pytest.raises(RedactionError, match=rf"planted secrets \({rule}\): nothing is shipped"):
        Sanitizer(RedactionOptions(), cache_directory=cache_directory)


def test_without_any_rule_nothing_but_names_is_tested(catalogue: RuleCatalogue) -> None:
    disable = tuple(rule.id for rule in active_rules(catalogue, RedactionOptions()))
    assert Sanitizer(RedactionOptions(disable=disable)).self_test() == ()


def test_what_the_configuration_allows_does_not_fail_the_self_test(cache_directory: str) -> None:
    allow = ("$.out", "$.db.password", "$.headers[0][1]", "$.a.b", "$.d")
    Sanitizer(RedactionOptions(allow=allow), cache_directory=cache_directory)
