"""Tokens of every published shape are redacted whole, and what only begins like one is kept."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence

import pytest

from tests.sanitize.lines import redact_value
from tests.sanitize.rule_units import invent
from tracesidecar.sanitize.patterns import MARKER_TEXT
from tracesidecar.sanitize.rules import Shape, load_shapes
from tracesidecar.sanitize.sanitizer import Sanitizer

SHAPES = load_shapes()
SCANNERS = {
    "betterleaks",
    "detect-secrets",
    "github",
    "gitleaks",
    "kingfisher",
    "microsoft",
    "noseyparker",
    "trufflehog",
}
PLACES = ("{}", "export KEY={}", "see {} in the log", '"{}",', "({}) failed", "a\n{}\nb")


def tokens_of(shape: Shape, count: int = 3) -> list[str]:
    """Invent tokens of this shape; the same ones each time."""
    rng = random.Random(shape.regex)
    return [invent(shape.regex, rng.choice) for _ in range(count)]


def test_each_row_has_a_source_and_none_is_there_twice() -> None:
    assert len({shape.regex for shape in SHAPES}) == len(SHAPES)
    assert [shape for shape in SHAPES if not (shape.vendor and shape.source)] == []
    others = {shape.source for shape in SHAPES} - SCANNERS
    assert [source for source in others if "." not in source] == []
    assert list(SHAPES) == sorted(SHAPES, key=lambda each: (each.vendor.lower(), each.regex))


def test_an_invented_token_of_each_shape_is_redacted_whole(secrets_only: Sanitizer) -> None:
    missed = []
    for i, shape in enumerate(SHAPES):
        place = PLACES[i % len(PLACES)]
        for token in tokens_of(shape):
            rest = redact_value(secrets_only, place.format(token))
            assert isinstance(rest, str)
            if MARKER_TEXT.sub("", rest) != place.format(""):
                missed.append((shape.vendor, shape.regex, rest))
    assert missed == []


def test_each_rule_of_the_table_is_a_rule(secrets_only: Sanitizer) -> None:
    assert {shape.rule for shape in SHAPES} - set(secrets_only.rules) == {""}


def fill(shape: Shape, fillers: str) -> str:
    def choose(allowed: Sequence[str]) -> str:
        return next((c for c in fillers if c in allowed), allowed[0])

    return invent(shape.regex, choose)


@pytest.mark.parametrize("fillers", ["x0", "X0", "0x"])
def test_a_body_of_one_character_is_kept(secrets_only: Sanitizer, fillers: str) -> None:
    one_run = re.compile(r"(?:[\w$/+-]|\\.)+\[[^\]]+\]\{[0-9]+,?[0-9]*\}(?:\\b)?")
    texts = [
        fill(shape, fillers)
        for shape in SHAPES
        if one_run.fullmatch(shape.regex)
        and shape.rule not in {"jfrog-token", "alibaba-tencent-key"}
    ]
    kept = [text for text in texts if text[-8:] in {fillers[0] * 8, fillers[1] * 8}]
    assert len(kept) > len(SHAPES) / 3
    assert [text for text in kept if redact_value(secrets_only, text) != text] == []


def test_the_beginning_of_a_token_is_kept(secrets_only: Sanitizer) -> None:
    short = [tokens_of(shape, 1)[0][:12] for shape in SHAPES]
    touched = [text for text in short if redact_value(secrets_only, text) != text]
    assert touched == []


@pytest.mark.parametrize(
    "token",
    [
        "acme_live_kT4SL8wCoX8neRh2masjtHFX",
        "zorp-token-9f86d081884c7d659a2feaa0c55ad015",
        "fxq.sk.kT4SL8wCoX8neRh2masjtHFXpP",
        "vendorio_sk_v2_kT4SL8wCoX8neRh2masjt",
        "shop9_pat_kT4SL8wCoX8neRh2masjtHFXpP_q7",
    ],
)
def test_a_token_of_an_unknown_vendor_is_redacted(secrets_only: Sanitizer, token: str) -> None:
    for place in PLACES[2:]:
        assert token not in json.dumps(redact_value(secrets_only, place.format(token)))


@pytest.mark.parametrize(
    "text",
    [
        "acme_test_withAVeryLongNameOfAMethod2",
        "my_api_returns_an_error_when_it_is_missing",
        "use-token-authentication-for-the-endpoint",
        "com.example.api.internal.handlers.RequestHandlerV2",
        "node_modules-dev-dependencies-of-the-package",
        "registry-prod-eu-central-1-kubernetes-nodegroup7",
        "app_secret_ROTATION_INTERVAL_SECONDS_DEFAULT",
        "the sk_live_xxxxxxxxxxxxxxxxxxxxxxxx of the dashboard",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ghp_" + "0" * 36,
        "glpat-your-token-goes-here-1234567890",
        "AIza" + "X" * 35,
        "xoxb-" + "x" * 12 + "-" + "x" * 12 + "-" + "x" * 24,
    ],
)
def test_names_and_examples_are_kept(secrets_only: Sanitizer, text: str) -> None:
    assert redact_value(secrets_only, {"out": text}) == {"out": text}
