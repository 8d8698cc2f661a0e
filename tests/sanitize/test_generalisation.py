"""Generated secrets and look-alikes: what the rules find beyond their own examples."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from tests.sanitize.invented import GROUPS, Case, benign
from tests.sanitize.lines import placements, texts_of
from tracesidecar.sanitize.sanitizer import Sanitizer

SHARES = {
    "tokens": 0.995,
    "passwords": 0.97,
    "urls": 0.99,
    "named tokens": 0.96,
    "vendor keys": 0.98,
    "basic credentials": 1.0,
    "members": 0.99,
}
KNOWN_MISSES = {"table", "composer"}
"""Contexts in which only a cell beside it, or the name of a service, identifies the secret."""
PLACED = 40
"""How many cases of a group are tried in every placement."""


def is_left(sanitizer: Sanitizer, case: Case, line: bytes) -> bool:
    out = sanitizer.redact_line(line)
    assert isinstance(out, bytes), case
    visible = {case.secret, json.dumps(case.secret)[1:-1]}
    return any(secret in text for text in texts_of(json.loads(out)) for secret in visible)


def line_of(group: str, case: Case) -> bytes:
    return case.text.encode() if group == "members" else json.dumps({"out": case.text}).encode()


@pytest.mark.parametrize("group", GROUPS)
def test_secrets_of_every_class_are_found(secrets_only: Sanitizer, group: str) -> None:
    cases = list(GROUPS[group](random.Random(3)))
    missed = [case for case in cases if is_left(secrets_only, case, line_of(group, case))]
    assert len(missed) <= (1 - SHARES[group]) * len(cases), missed[:10]
    size_of, missed_of = (
        Counter(case.shell for case in cases),
        Counter(case.shell for case in missed),
    )
    assert {
        shell for shell, count in missed_of.items() if count > 0.5 * size_of[shell]
    } <= KNOWN_MISSES


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "members"])
def test_a_secret_that_is_found_is_found_in_every_placement(
    secrets_only: Sanitizer, group: str
) -> None:
    rng = random.Random(4)
    cases = rng.sample(list(GROUPS[group](rng)), PLACED)
    found = [case for case in cases if not is_left(secrets_only, case, line_of(group, case))]
    lost = [
        (place, case)
        for case in found
        for place, line in placements(case.text)
        if is_left(secrets_only, case, line)
    ]
    assert lost == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("policy", "share"), [("secrets_only", 1.0), ("strict", 0.99)])
def test_what_only_looks_like_a_secret_is_not_redacted(
    request: pytest.FixtureRequest, policy: str, share: float, seed: int
) -> None:
    sanitizer: Sanitizer = request.getfixturevalue(policy)
    rows = list(benign(random.Random(seed)))
    lines = [
        (kind, json.dumps(value).encode())
        for kind, text in rows
        for value in ({"out": text}, {"nested": json.dumps({"out": text})})
    ]
    lines += [(kind, text.encode()) for kind, text in rows if text.startswith('{"')]
    touched = [kind for kind, line in lines if sanitizer.redact_line(line) != line]
    assert len(touched) <= (1 - share) * len(lines), touched
