"""The self-test reports nothing while all is well, and the names of planted secrets that remain."""

from __future__ import annotations

import pytest

from tracesidecar.sanitize.detect.confirm import HitConfirmer
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.encoded_text import EncodedText
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.prefilter.candidates import Candidates
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
    assert Sanitizer(RedactionOptions(), cache_directory=cache_directory).self_test() != ()
