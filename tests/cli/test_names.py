"""File names are shown as text, without anything that begins like a well-known token."""

from __future__ import annotations

import os

import pytest

from tracesidecar.sanitize import load_catalogue, printable

CATALOGUE = load_catalogue()
WELL_KNOWN = (
    "github-token",
    "github-fine-grained-pat",
    "gitlab-token",
    "aws-access-key-id",
    "openai-key",
    "anthropic-key",
    "stripe-key",
    "slack-token",
    "jwt",
)


@pytest.mark.parametrize("rule_id", WELL_KNOWN)
def test_a_well_known_token_in_a_name_is_redacted(rule_id: str) -> None:
    (rule,) = (rule for rule in CATALOGUE.rule if rule.id == rule_id)
    token = CATALOGUE.example(rule.positives[0]).removeprefix("found ").split()[0]
    shown = printable(f"/traces/{token}/a.jsonl")
    assert shown.startswith(f"/traces/[REDACTED:{rule_id}]")
    assert token[-16:] not in shown


def test_a_password_in_a_name_is_redacted_and_the_rest_stays() -> None:
    assert printable("/traces/token=hay7stack/a.jsonl") == "/traces/token=[REDACTED:name]/a.jsonl"


@pytest.mark.parametrize(
    "name",
    [
        "/home/mara/.claude/projects/-srv-app/6f1c2d3e-4b5a-4978-8a6b-1c2d3e4f5a6b.jsonl",
        "/t/rollout-2026-11-21T10-11-12-sk-a.jsonl",
    ],
)
def test_an_ordinary_name_is_shown_as_it_is(name: str) -> None:
    assert printable(name) == name


def test_control_characters_and_odd_bytes_come_out_escaped() -> None:
    assert printable(os.fsdecode(b"a\x1b[31m\xff")) == "a\\x1b[31m\\xff"
