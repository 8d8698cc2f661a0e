"""Secrets in paths are redacted by one function, for screens and for what leaves."""

from __future__ import annotations

import pytest

from tracesidecar.sanitize import load_catalogue, printable, redact_path
from tracesidecar.sanitize.rules.catalogue import Rule
from tracesidecar.sanitize.sanitizer import Sanitizer

CATALOGUE = load_catalogue()
ON = [rule for rule in CATALOGUE.rule if rule.category == "secret" and rule.default == "on"]
NOT_ALONE = {"named-literal", "companion-secret"}
"""Rules for lines of a text, of which a name has none."""


def names_of(rule: Rule) -> list[str]:
    """Return paths with the rule's examples as the name of a folder."""
    examples = map(CATALOGUE.example, rule.positives)
    return [f"/traces/{each}/a.jsonl" for each in examples if not {"/", "\n"} & set(each)]


@pytest.mark.parametrize("rule", ON, ids=lambda rule: rule.id)
def test_what_does_not_leave_is_not_shown_either(rule: Rule, secrets_only: Sanitizer) -> None:
    for path in names_of(rule):
        leaves, shown = redact_path(path, secrets_only.redact_text), redact_path(path)
        if leaves != path and rule.id not in NOT_ALONE:
            assert "[REDACTED:" in shown, path
        if shown != path:
            assert "[REDACTED:" in shown


@pytest.mark.parametrize(
    ("path", "redacted"),
    [
        ("/a/password=hunter22/b.jsonl", "/a/password=[REDACTED:name]/b.jsonl"),
        ("/a/token=tokens/c.jsonl", "/a/token=[REDACTED:name]/c.jsonl"),
        ("/a/sk-proj-abcdefghijklmnop/a", "/a/[REDACTED:name]/a"),
        ("/a/AKIA7LRWFVEALKXWKKXZ/a", "/a/[REDACTED:aws-access-key-id]/a"),
        ("/a/[REDACTED:jwt]/token=[REDACTED:jwt]/a", "/a/[REDACTED:jwt]/token=[REDACTED:jwt]/a"),
        ("/a/odd\udcff", "/a/odd\\xff"),
    ],
)
def test_screens_and_what_leaves_have_the_same_text(
    path: str, redacted: str, secrets_only: Sanitizer
) -> None:
    assert redact_path(path, secrets_only.redact_text) == redacted
    assert redact_path(path) == printable(path) == redacted


@pytest.mark.parametrize(
    "path",
    [
        "/home/mara/.claude/projects/-srv-app/6f1c2d3e-4b5a-4978-8a6b-1c2d3e4f5a6b.jsonl",
        "/t/rollout-2026-11-21T10-11-12-6f1c2d3e-4b5a-4978-8a6b-1c2d3e4f5a6b.jsonl",
        "/srv/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/a.jsonl",
        "/home/mara/Library/Application Support/Code/globalStorage/x/api_conversation_history.json",
        "/var/lib/kubelet/pods/6f1c2d3e-4b5a-4978-8a6b-1c2d3e4f5a6b/volumes/kubernetes.io~empty-dir",
    ],
)
def test_an_ordinary_path_is_left_as_it_is(path: str, secrets_only: Sanitizer) -> None:
    assert redact_path(path) == redact_path(path, secrets_only.redact_text) == path
