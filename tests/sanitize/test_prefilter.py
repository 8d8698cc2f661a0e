"""The scan of whole chunks must point at everything that the rules can redact."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sanitize.lines import placements, texts_of
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.redactor import Redactor
from tracesidecar.sanitize.rules.catalogue import active_rules, load_catalogue
from tracesidecar.sanitize.sanitizer import Sanitizer

CATALOGUE = load_catalogue()
EXAMPLES = [
    CATALOGUE.example(text)
    for rule in active_rules(CATALOGUE, RedactionOptions(pii=True))
    for text in rule.positives
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_the_rules_redact_in_a_text_is_redacted_in_every_placement(
    strict: Sanitizer, example: str
) -> None:
    data = example.encode()
    spans = strict._redactor.detector.find_spans(data)
    secrets = [data[start:end].decode() for start, end, _ in spans]
    assert secrets
    for place, line in placements(example):
        out = strict.redact_line(line)
        assert isinstance(out, bytes)
        decoded = list(texts_of(json.loads(out)))
        for secret in secrets:
            visible = json.dumps(secret)[1:-1]
            assert not any(secret in text or visible in text for text in decoded), place


@pytest.mark.parametrize("example", EXAMPLES)
def test_redacting_twice_changes_nothing_more(strict: Sanitizer, example: str) -> None:
    for place, line in placements(example):
        once = strict.redact_line(line)
        assert isinstance(once, bytes)
        assert strict.redact_line(once) == once, place


def key_id() -> str:
    return "AKIA" + "Q7LPMN5HFZKE2345"


HIDDEN: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"~~~" + text.encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "percent": lambda text: "".join(f"%{ord(c):02X}" for c in text),
    "URL": lambda text: "https://x.example/?next=" + urllib.parse.quote(text, safe=""),
    "entities": lambda text: "".join(f"&#x{ord(c):x};" for c in text),
    "decimal entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "colour inside": lambda text: text[:8] + "\x1b[0m" + text[8:],
    "zero width inside": lambda text: text[:8] + "\u200b" + text[8:],
    "soft hyphen inside": lambda text: text[:8] + "\u00ad" + text[8:],
    "full width": lambda text: "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text
    ),
    "escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "escaped escapes": lambda text: "".join(f"\\\\u{ord(c):04x}" for c in text),
}


@pytest.mark.parametrize("form", HIDDEN)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_secret_in_encoded_text_is_redacted(
    secrets_only: Sanitizer, form: str, ascii_only: bool
) -> None:
    hidden = HIDDEN[form]("AWS_ACCESS_KEY_ID=" + key_id())
    for value in ({"d": hidden}, {"a": json.dumps({"d": f"see {hidden} there"})}):
        out = secrets_only.redact_line(json.dumps(value, ensure_ascii=ascii_only).encode())
        assert isinstance(out, bytes)
        assert not any(hidden in text or key_id() in text for text in texts_of(json.loads(out)))
        assert b"[REDACTED:" in out


def test_escapes_in_the_line_itself_hide_nothing(secrets_only: Sanitizer) -> None:
    escaped = "".join(f"\\u{ord(c):04x}" for c in key_id())
    assert (
        secrets_only.redact_line(b'{"out":"%s"}' % escaped.encode())
        == b'{"out":"[REDACTED:aws-access-key-id]"}'
    )


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(
    tree=_values,
    example=st.sampled_from(EXAMPLES),
    ascii_only=st.booleans(),
    nest=st.integers(0, 2),
)
def test_a_secret_anywhere_in_any_tree_is_removed_and_the_rest_stays(
    tree: object, example: str, ascii_only: bool, nest: int
) -> None:
    sanitizer = _share_sanitizer()
    planted: object = {"text": example}
    for _ in range(nest):
        planted = {"inner": json.dumps(planted, ensure_ascii=ascii_only)}
    line = json.dumps([tree, planted], ensure_ascii=ascii_only).encode()
    out = sanitizer.redact_line(line)
    assert isinstance(out, bytes)
    rest, redacted = json.loads(out)
    data = example.encode()
    for start, end, _ in sanitizer._redactor.detector.find_spans(data):
        assert not any(data[start:end].decode() in text for text in texts_of(redacted))
    alone = sanitizer.redact_line(json.dumps(tree, ensure_ascii=ascii_only).encode())
    assert isinstance(alone, bytes)
    assert rest == json.loads(alone)


_SANITIZERS: dict[str, Sanitizer] = {}


def _share_sanitizer() -> Sanitizer:
    return _SANITIZERS.setdefault(
        "strict",
        Sanitizer(RedactionOptions(pii=True))
        if not _SANITIZERS
        else next(iter(_SANITIZERS.values())),
    )


def test_a_chunk_and_its_single_lines_give_the_same_result(strict: Sanitizer) -> None:
    lines = [line for example in EXAMPLES for _, line in placements(example)]
    redactor: Redactor = strict._redactor
    together = redactor.redact(redactor.scan(b"\n".join(lines) + b"\n"))
    assert together.failed == []
    assert together.data.split(b"\n")[:-1] == [strict.redact_line(line) for line in lines]
