"""The self-test: silent while all is well, and by name when a planted secret passes."""

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


def test_a_sound_sanitizer_has_nothing_to_say(secrets_only: Sanitizer, strict: Sanitizer) -> None:
    assert secrets_only.self_test() == ()
    assert strict.self_test() == ()


def test_what_is_switched_off_is_not_missed(cache_directory: str) -> None:
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
def test_a_stage_that_goes_blind_is_noticed(
    monkeypatch: pytest.MonkeyPatch, cache_directory: str, stage: tuple[type, str], broken: object
) -> None:
    monkeypatch.setattr(*stage, broken)
    assert Sanitizer(RedactionOptions(), cache_directory=cache_directory).self_test() != ()
