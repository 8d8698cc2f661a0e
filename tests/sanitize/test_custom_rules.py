"""What a user may add or take away: keywords, places that are never cut, rules switched off, and
other tools' marks.
"""

from __future__ import annotations

import json

import pytest

from tests.sanitize.lines import chunk_of, placements, redacted, texts_of
from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize.options import CustomRule, RedactionOptions
from tracesidecar.sanitize.sanitizer import Sanitizer

KEY_ID = "AKIA" + "Q7LPMN5HFZKE2345"


def made(cache_directory: str, **options: object) -> Sanitizer:
    return Sanitizer(RedactionOptions(**options), cache_directory=cache_directory)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keyword", "text", "cut"),
    [
        ("Project Falcon", "the PROJECT  falcon plan", "the [REDACTED:own] plan"),
        ("falcon", "falconry is no falcon", "falconry is no [REDACTED:own]"),
        ("(x+y)", "take (X+Y) now", "take [REDACTED:own] now"),
    ],
)
def test_a_keyword_is_cut_as_a_word_in_any_case(
    cache_directory: str, keyword: str, text: str, cut: str
) -> None:
    sanitizer = made(cache_directory, rule=(CustomRule(id="own", keyword=keyword),))
    assert sanitizer.redact_text(text) == cut
    for place, line in placements(text):
        out = sanitizer.redact_line(line)
        assert isinstance(out, bytes)
        assert any(cut in found for found in texts_of(json.loads(out))), place


@pytest.mark.parametrize(
    "rule",
    [
        CustomRule(id="x"),
        CustomRule(id="x", keyword="  "),
        CustomRule(id="x", regex="a", keyword="b"),
    ],
)
def test_an_own_rule_has_either_a_regex_or_a_keyword(rule: CustomRule) -> None:
    with pytest.raises(ConfigurationError, match='either a "regex" or a "keyword"'):
        Sanitizer(RedactionOptions(rule=(rule,)))


def test_what_stands_at_an_allowed_place_is_never_cut(cache_directory: str) -> None:
    sanitizer = made(
        cache_directory, allow=("$.deploy.token", "$.steps[*].out", "$.list[0]", "$.any.*.password")
    )
    kept = {
        "deploy": {"token": {"id": KEY_ID}},
        "steps": [{"out": KEY_ID}, {"out": f"see {KEY_ID}"}],
        "list": [KEY_ID],
        "any": {"x": {"password": "correct horse"}},
    }
    assert redacted(sanitizer, kept) == kept
    other = {
        "deploy": {"tokens": KEY_ID},
        "steps": [{"outer": KEY_ID}],
        "list": ["", KEY_ID],
        "any": {"password": "correct horse"},
    }
    out = json.dumps(redacted(sanitizer, other))
    assert KEY_ID not in out
    assert "horse" not in out


@pytest.mark.parametrize("entry", ["$.", "$.a..b", "$.a[", "$.a[x]", "$[", "$.a[-1]"])
def test_a_place_that_is_no_path_is_refused(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="is a path, written as"):
        Sanitizer(RedactionOptions(allow=(entry,)))


def test_secret_rules_that_are_switched_off_are_known_by_name(
    cache_directory: str, secrets_only: Sanitizer
) -> None:
    assert secrets_only.disabled_secret_rules == ()
    assert made(cache_directory, disable=("twilio-key", "email", "jwt")).disabled_secret_rules == (
        "twilio-key",
        "jwt",
    )


MARKS = {
    "password": "[REDACTED]",
    "api_key": "<hidden>",
    "text": "token=*** secret=[Filtered] PASSWORD=[REDACTED:jwt] pw: ********",
    "secret": "[masked by proxy]",
}


def test_marks_of_other_tools_are_kept_and_not_counted(secrets_only: Sanitizer) -> None:
    line = json.dumps(MARKS).encode() + b"\n"
    clean = secrets_only(chunk_of(line))
    assert (clean.data, clean.redactions) == (line, ())
