"""The sanitizer as a whole: options, counts, offsets and findings."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys

import msgspec
import pytest

from tests.sanitize.lines import chunk_of, redact_value
from tracesidecar.errors import ConfigurationError
from tracesidecar.model import Rejection
from tracesidecar.sanitize.options import CustomRule, RedactionOptions
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.sanitizer import RuleFinding, Sanitizer
from tracesidecar.units import Secret

KEY_ID = "AKIA" + "Q7LPMN5HFZKE2345"


def make_sanitizer(cache_directory: str, **options: object) -> Sanitizer:
    redaction = msgspec.structs.replace(RedactionOptions(), **options)
    return Sanitizer(redaction, cache_directory=cache_directory)


def test_a_chunk_is_counted_line_by_line(secrets_only: Sanitizer) -> None:
    data = b'{"a":"%s %s"}\n\n{"b":NaN}\n{"password":"x y"}\n' % (KEY_ID.encode(), KEY_ID.encode())
    clean = secrets_only(chunk_of(data, start=500), repair=True)
    assert (
        clean.data == b'{"a":"[REDACTED:aws-access-key-id] [REDACTED:aws-access-key-id]"}\n'
        b'{"b":null}\n{"password":"[REDACTED:key-name]"}\n'
    )
    assert (clean.start, clean.end, clean.lines, clean.blank_lines) == (500, 500 + len(data), 3, 1)
    assert clean.repaired == (500 + data.index(b'{"b"'),)
    assert clean.redactions == (("aws-access-key-id", 2), ("key-name", 1))


def test_rejections_have_offsets_in_the_segment_and_a_keyed_digest(cache_directory: str) -> None:
    sanitizer = Sanitizer(RedactionOptions(), cache_directory=cache_directory, digest_key=b"k" * 16)
    clean = sanitizer(chunk_of(b'{"a":1}\nbad\n', start=100))
    assert clean.rejected == (
        Rejection(
            108, 111, "not_json", hashlib.blake2b(b"bad", key=b"k" * 16, digest_size=16).digest()
        ),
    )


def test_rejections_by_the_tailer_are_passed_on(secrets_only: Sanitizer) -> None:
    chunk = chunk_of(b"", start=10)
    long = Rejection(10, 99, RejectionReason.TOO_LONG)
    clean = secrets_only(
        type(chunk)(
            segment=chunk.segment, start=10, end=99, data=b"", next=chunk.next, rejected=(long,)
        )
    )
    assert (clean.data, clean.lines, clean.rejected) == (b"", 0, (long,))


def test_personal_data_is_redacted_only_on_request(
    cache_directory: str, secrets_only: Sanitizer, strict: Sanitizer
) -> None:
    text = "mara.lind@example.net paid with 4242424242424242 from +44 20 7946 0018"
    assert secrets_only.redact_text(text) == text
    assert (
        strict.redact_text(text)
        == "[REDACTED:email] paid with [REDACTED:payment-card] from [REDACTED:phone-e164]"
    )
    assert make_sanitizer(cache_directory, pii=("payment-card",)).redact_text(text) == text.replace(
        "4242424242424242", "[REDACTED:payment-card]"
    )


def test_a_disabled_rule_does_not_redact(cache_directory: str) -> None:
    assert (
        make_sanitizer(cache_directory, disable=("aws-access-key-id",)).redact_text(f"key {KEY_ID}")
        == f"key {KEY_ID}"
    )


def test_allowed_values_are_never_redacted(cache_directory: str) -> None:
    sanitizer = make_sanitizer(cache_directory, allow=(KEY_ID, "hunter2xyz", "48151623"))
    value = {
        "a": f"key {KEY_ID}",
        "password": "hunter2xyz",
        "pin_secret": 48151623,
        "h": [["Authorization", "hunter2xyz"]],
    }
    assert redact_value(sanitizer, value) == value
    assert redact_value(sanitizer, {"password": "hunter2xyz2"}) == {
        "password": "[REDACTED:key-name]"
    }


def test_custom_key_names_match_in_every_spelling(cache_directory: str) -> None:
    sanitizer = make_sanitizer(cache_directory, key_names=("door code", "fob"))
    value = {
        "doorCode": "a b",
        "DOOR_CODE": "c d",
        "main-door-code": "e",
        "fob": "g h",
        "floor": "7",
        "text": 'DOOR_CODE="x y z"',
    }
    marked = "[REDACTED:key-name]"
    expected = {
        "doorCode": marked,
        "DOOR_CODE": marked,
        "main-door-code": marked,
        "fob": marked,
        "floor": "7",
        "text": 'DOOR_CODE="[REDACTED:kv-assignment]"',
    }
    assert redact_value(sanitizer, value) == expected
    assert redact_value(sanitizer, {"n": json.dumps(value)}) == {
        "n": json.dumps(expected, separators=(", ", ": "))
    }


CUSTOM = {
    "word boundary": (r"\bE[0-9]{7}\b", "staff E1234567 left", "staff [REDACTED:own] left"),
    "whole string": ("^E[0-9]{7}$", "E1234567", "[REDACTED:own]"),
    "behind a newline": (r"\bE[0-9]{7}\b", "staff\nE1234567\tleft", "staff\n[REDACTED:own]\tleft"),
    "quotes": ('"E[0-9]+"', 'the "E12" one', "the [REDACTED:own] one"),
    "letters of any script": (r"Straße \p{N}+", "Straße 12 b", "[REDACTED:own] b"),
}


@pytest.mark.parametrize(("regex", "text", "expected"), CUSTOM.values(), ids=CUSTOM.keys())
def test_custom_rules_redact_in_every_placement(
    cache_directory: str, regex: str, text: str, expected: str
) -> None:
    sanitizer = make_sanitizer(cache_directory, rule=(CustomRule(id="own", regex=regex),))
    for ascii_only in (True, False):
        for value in (
            {"a": text},
            {text: 1},
            {"n": json.dumps({"b": text}, ensure_ascii=ascii_only)},
        ):
            line = sanitizer.redact_line(json.dumps(value, ensure_ascii=ascii_only).encode())
            assert isinstance(line, bytes)
            out = json.loads(line)
            found = json.loads(out["n"])["b"] if "n" in out else out.get("a") or next(iter(out))
            assert found == expected


def test_a_custom_rule_may_redact_a_group() -> None:
    sanitizer = Sanitizer(
        RedactionOptions(rule=(CustomRule(id="badge", regex="badge ([0-9]+)", group=1),))
    )
    assert sanitizer.redact_text("badge 77") == "badge [REDACTED:badge]"


BAD = {
    "look-ahead": (
        {"rule": (CustomRule(id="x", regex="(?=a)b"),)},
        "RE2 rejects the pattern: invalid perl operator: (?=",
    ),
    "unbalanced": ({"rule": (CustomRule(id="x", regex="(a"),)}, "missing )"),
    "empty match": ({"rule": (CustomRule(id="x", regex="a*"),)}, "matches the empty text"),
    "no such group": (
        {"rule": (CustomRule(id="x", regex="a", group=1),)},
        "group 1 does not exist",
    ),
    "id taken": ({"rule": (CustomRule(id="jwt", regex="a"),)}, "is taken"),
    "id twice": (
        {"rule": (CustomRule(id="x", regex="a"), CustomRule(id="x", regex="b"))},
        "is taken",
    ),
    "id not a name": ({"rule": (CustomRule(id="X Y", regex="a"),)}, "is not a name"),
    "unknown rule": ({"disable": ("twilo-key",)}, 'the nearest is "twilio-key"'),
    "unknown personal data": ({"pii": ("e-mail",)}, 'the nearest is "email"'),
    "secret as personal data": ({"pii": ("jwt",)}, "is not a rule for personal data"),
    "key name": ({"key_names": ("a\nb",)}, "redaction.key_names"),
}


@pytest.mark.parametrize(("options", "says"), BAD.values(), ids=BAD.keys())
def test_invalid_options_are_rejected_with_the_reason(
    options: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigurationError) as rejected:
        Sanitizer(msgspec.structs.replace(RedactionOptions(), **options))
    assert says in str(rejected.value)


def test_with_a_key_equal_secrets_have_equal_tags(cache_directory: str) -> None:
    sanitizer = make_sanitizer(cache_directory, hmac_key=Secret("open sesame"))
    tag = hmac.new(b"open sesame", KEY_ID.encode(), "sha256").hexdigest()[:8]
    out = redact_value(
        sanitizer,
        {
            "a": f"x {KEY_ID}",
            "password": KEY_ID,
            "n": json.dumps({"b": KEY_ID}),
            "t": f"Authorization: Bearer {KEY_ID}",
        },
    )
    assert isinstance(out, dict)
    assert out["a"] == f"x [REDACTED:aws-access-key-id:{tag}]"
    assert out["password"] == f"[REDACTED:key-name:{tag}]"
    assert out["n"] == json.dumps({"b": f"[REDACTED:aws-access-key-id:{tag}]"})
    assert redact_value(sanitizer, out) == out
    assert redact_value(
        make_sanitizer(cache_directory, hmac_key=Secret("another")), {"password": KEY_ID}
    ) != {"password": out["password"]}


def test_the_version_changes_with_what_shapes_the_bytes_and_reveals_no_key(
    cache_directory: str, secrets_only: Sanitizer
) -> None:
    changed: list[dict[str, object]] = [
        {"pii": True},
        {"disable": ("jwt",)},
        {"allow": ("x",)},
        {"key_names": ("fob",)},
        {"hmac_key": Secret("a")},
        {"hmac_key": Secret("b")},
    ]
    versions = [
        secrets_only.version,
        *(make_sanitizer(cache_directory, **options).version for options in changed),
    ]
    assert len(set(versions)) == len(versions)
    assert make_sanitizer(cache_directory).version == secrets_only.version
    assert all(len(version) == 32 and int(version, 16) for version in versions)


def test_findings_name_rules_and_paths_and_never_a_value(strict: Sanitizer) -> None:
    line = {
        "messages": [{"content": "hi"}, {"content": f"a {KEY_ID} b"}],
        "password": "correct horse",
        KEY_ID: 1,
        "n": json.dumps({"x": {"token": "abcdefgh123456"}}),
    }
    findings = strict.find_redactions(json.dumps(line).encode())
    assert not isinstance(findings, RejectionReason)
    assert set(findings) == {
        RuleFinding("aws-access-key-id", "messages[1].content"),
        RuleFinding("key-name", "password"),
        RuleFinding("aws-access-key-id", "[REDACTED:aws-access-key-id]"),
        RuleFinding("key-name", "n"),
    }
    assert KEY_ID not in repr(findings)
    assert strict.find_redactions(b'{"a":"plain"}') == ()
    assert strict.find_redactions(b"{") is RejectionReason.TRUNCATED


def test_one_line_is_redacted_or_rejected_with_a_reason(secrets_only: Sanitizer) -> None:
    assert (
        secrets_only.redact_line(b'{"a":"%s"}\r\n' % KEY_ID.encode())
        == b'{"a":"[REDACTED:aws-access-key-id]"}'
    )
    assert secrets_only.redact_line(b'{"a":NaN}') is RejectionReason.NAN


def test_free_text_is_redacted_even_in_file_names_that_are_not_utf8(
    secrets_only: Sanitizer,
) -> None:
    assert (
        secrets_only.redact_text(f"/traces/{KEY_ID}/a.jsonl")
        == "/traces/[REDACTED:aws-access-key-id]/a.jsonl"
    )
    assert secrets_only.redact_text("/traces/\udcff/x") == "/traces/\udcff/x"
    assert KEY_ID not in secrets_only.redact_text(f"/traces/\udcff/{KEY_ID}")


def test_importing_is_cheap_and_loads_no_engine_and_no_other_decoder() -> None:
    code = (
        "import sys, tracesidecar.sanitize; "
        "print(sorted({'orjson', 'hyperscan', 're2', 'numpy', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert done.stdout.strip() == "[]"
