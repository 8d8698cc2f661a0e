"""Ordinary lines with much in them lose their secrets, nothing else, and take little time."""

from __future__ import annotations

import time

import pytest

from tests.sanitize.heavy import HeavyLine, make_heavy_lines
from tests.sanitize.lines import chunk_of
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.patterns import MARKER_TEXT
from tracesidecar.sanitize.sanitizer import Sanitizer

LINES = {each.name: each for each in make_heavy_lines()}
SECONDS_PER_LINE = 0.1
SECONDS_PER_HIT = 60e-6
NEIGHBOURS = 4
"""A busy machine takes longer."""


@pytest.mark.parametrize("name", LINES)
def test_an_ordinary_line_loses_its_secrets_and_nothing_else(
    secrets_only: Sanitizer, personal: Sanitizer, name: str
) -> None:
    heavy = LINES[name]
    sanitizer = personal if heavy.is_personal else secrets_only
    started = time.thread_time()
    clean = sanitizer(chunk_of(heavy.line + b"\n"))
    spent = time.thread_time() - started
    assert clean.rejected == ()
    assert_only_secrets_are_gone(heavy, clean.data)
    assert sum(count for _, count in clean.redactions) == len(heavy.secrets)
    assert spent < NEIGHBOURS * (SECONDS_PER_LINE + SECONDS_PER_HIT * len(heavy.secrets))


def assert_only_secrets_are_gone(heavy: HeavyLine, redacted: bytes) -> None:
    expected = heavy.line.decode()
    for secret in heavy.secrets:
        expected = expected.replace(secret, "*")
    assert MARKER_TEXT.sub("*", redacted.decode()) == expected + "\n"


@pytest.fixture(scope="module")
def personal(cache_directory: str) -> Sanitizer:
    """Return a sanitizer that redacts addresses and telephone numbers."""
    return Sanitizer(RedactionOptions(pii=("email", "phone-e164")), cache_directory=cache_directory)
