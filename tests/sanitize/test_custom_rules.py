"""What a user may configure: keywords, paths that are never redacted, disabled rules."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.sanitize.lines import chunk_of, placements, redact_value, texts_of
from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize.options import CustomRule, RedactionOptions
from tracesidecar.sanitize.rules import list_disabled_secret_rules, load_catalogue
from tracesidecar.sanitize.sanitizer import Sanitizer

KEY_ID = "AKIA" + "Q7LPMN5HFZKE2345"


def make_sanitizer(cache_directory: str, **options: object) -> Sanitizer:
    redaction = msgspec.structs.replace(RedactionOptions(), **options)
    return Sanitizer(redaction, cache_directory=cache_directory)


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        ("Project Falcon", "the PROJECT  falcon plan", "the [REDACTED:own] plan"),
        ("falcon", "falconry is no falcon", "falconry is no [REDACTED:own]"),
        ("(x+y)", "take (X+Y) now", "take [REDACTED:own] now"),
    ],
)
def test_a_keyword_is_redacted_as_a_whole_word_in_any_case(
    cache_directory: str, keyword: str, text: str, expected: str
) -> None:
    sanitizer = make_sanitizer(cache_directory, rule=(CustomRule(id="own", keyword=keyword),))
    assert sanitizer.redact_text(text) == expected
    for place, line in placements(text):
        out = sanitizer.redact_line(line)
        assert isinstance(out, bytes)
        assert any(expected in found for found in texts_of(json.loads(out))), place


@pytest.mark.parametrize(
    "rule",
    [
        CustomRule(id="x"),
        CustomRule(id="x", keyword="  "),
        CustomRule(id="x", regex="a", keyword="b"),
    ],
)
def test_a_custom_rule_has_either_a_regex_or_a_keyword(rule: CustomRule) -> None:
    with pytest.raises(ConfigurationError, match='either a "regex" or a "keyword"'):
        Sanitizer(RedactionOptions(rule=(rule,)))


def test_nothing_is_redacted_at_an_allowed_path(cache_directory: str) -> None:
    sanitizer = make_sanitizer(
        cache_directory, allow=("$.deploy.token", "$.steps[*].out", "$.list[0]", "$.any.*.password")
    )
    kept = {
        "deploy": {"token": {"id": KEY_ID}},
        "steps": [{"out": KEY_ID}, {"out": f"see {KEY_ID}"}],
        "list": [KEY_ID],
        "any": {"x": {"password": "correct horse"}},
    }
    assert redact_value(sanitizer, kept) == kept
    other = {
        "deploy": {"tokens": KEY_ID},
        "steps": [{"outer": KEY_ID}],
        "list": ["", KEY_ID],
        "any": {"password": "correct horse"},
    }
    out = json.dumps(redact_value(sanitizer, other))
    assert KEY_ID not in out
    assert "horse" not in out


@pytest.mark.parametrize("entry", ["$.", "$.a..b", "$.a[", "$.a[x]", "$[", "$.a[-1]"])
def test_an_invalid_path_is_rejected(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="is a path, written as"):
        Sanitizer(RedactionOptions(allow=(entry,)))


def test_disabled_secret_rules_are_listed_by_name() -> None:
    catalogue = load_catalogue()
    assert list_disabled_secret_rules(catalogue, RedactionOptions()) == ()
    some = RedactionOptions(disable=("twilio-key", "email", "jwt"))
    assert list_disabled_secret_rules(catalogue, some) == ("twilio-key", "jwt")


MARKS = {
    "password": "[REDACTED]",
    "api_key": "<hidden>",
    "text": "token=*** secret=[Filtered] PASSWORD=[REDACTED:jwt] pw: ********",
    "secret": "[masked by proxy]",
}


def test_redaction_marks_of_other_tools_are_kept_and_not_counted(secrets_only: Sanitizer) -> None:
    line = json.dumps(MARKS).encode() + b"\n"
    clean = secrets_only(chunk_of(line))
    assert (clean.data, clean.redactions) == (line, ())
