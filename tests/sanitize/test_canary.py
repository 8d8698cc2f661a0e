"""The self-test: silent while all is well, and by name when a planted secret passes."""

from __future__ import annotations

import pytest

from tracesidecar.sanitize.candidates import Candidates
from tracesidecar.sanitize.keys import KeyMatcher
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.sanitize.text_rules import TextRules
from tracesidecar.sanitize.views import Views
from tracesidecar.sanitize.windows import Verifier
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
        ((Candidates, "hits"), lambda *_: []),
        ((Verifier, "confirms"), lambda *_: False),
        ((TextRules, "spans"), lambda *_: []),
        ((Views, "spans"), lambda *_: []),
        ((KeyMatcher, "_classify"), lambda *_: None),
    ],
)
def test_a_stage_that_goes_blind_is_noticed(monkeypatch: pytest.MonkeyPatch, cache_directory: str, stage: tuple[type, str], broken: object) -> None:
    monkeypatch.setattr(*stage, broken)
    assert Sanitizer(RedactionOptions(), cache_directory=cache_directory).self_test() != ()
