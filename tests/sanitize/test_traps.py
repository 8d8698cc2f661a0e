"""Mistakes that a fast redactor once made, each in a test of its own."""

from __future__ import annotations

import json
import random
import time

import pytest

from tests.sanitize.lines import redact_value
from tracesidecar.sanitize.rules.catalogue import RuleCatalogue
from tracesidecar.sanitize.sanitizer import Sanitizer

KEY_ID = "AKIA" + "Q7LPMN5HFZKE2345"
SSN = "457-55-5462"


@pytest.mark.parametrize("flag", ["password", "secret", "token", "passwd", "api-key"])
def test_trap_1_a_flag_is_found_at_every_offset(secrets_only: Sanitizer, flag: str) -> None:
    for offset in range(80):
        assert "hunter2xyz" not in json.dumps(
            redact_value(secrets_only, {"cmd": "x" * offset + f" --{flag} hunter2xyz"})
        ), offset


@pytest.mark.parametrize("before", ["\t", "\n", "\u00e9", "x\r"])
def test_trap_2_digits_after_an_escape_have_a_left_boundary(strict: Sanitizer, before: str) -> None:
    assert SSN not in json.dumps(redact_value(strict, {"out": f"ssn {before}{SSN} end"}))


def test_trap_3_tokens_after_escaped_slashes_are_found(secrets_only: Sanitizer) -> None:
    secret = "aB3VWojaxyR0ndcs9DIi/B3kkptctliEJaLEo+0p"
    line = json.dumps({"out": f"aws_secret_access_key = {secret}"}).replace("/", "\\/").encode()
    out = secrets_only.redact_line(line)
    assert isinstance(out, bytes)
    assert json.loads(out) == {"out": "aws_secret_access_key = [REDACTED:aws-secret-access-key]"}


def test_trap_4_a_marker_in_a_key_names_no_credential(secrets_only: Sanitizer) -> None:
    line = (
        b'{"https://api.telegram.org/bot[REDACTED:telegram-bot-token]/getMe": "some plain value"}'
    )
    assert secrets_only.redact_line(line) == line
    text = 'x [REDACTED:github-token], "hello world" and [REDACTED:npm-token]: plainvalue7'
    assert secrets_only.redact_text(text) == text


def test_trap_5_two_secret_names_do_not_become_one(secrets_only: Sanitizer) -> None:
    other = "AKIA" + "Z2LPMN5HFZKE9999"
    assert redact_value(secrets_only, {KEY_ID: 1, other: 2}) == {
        "[REDACTED:aws-access-key-id]": 1,
        "[REDACTED:aws-access-key-id]#2": 2,
    }


def test_trap_6_escapes_of_other_scripts_in_nested_json_hide_nothing(
    secrets_only: Sanitizer,
) -> None:
    inner = '{"note":"\\u5bc6\\u78bc password=hunter2xyz \\u6f22"'  # cut off: text, not JSON
    assert "hunter2xyz" not in json.dumps(redact_value(secrets_only, {"a": inner}))
    key = '{"pass\\u0077ord":"hunter2xyz"}'
    assert "hunter2xyz" not in json.dumps(redact_value(secrets_only, {"a": key}))


def test_trap_7_a_kept_scheme_is_encoded_again(secrets_only: Sanitizer) -> None:
    out = secrets_only.redact_line(b'{"Authorization":"Bearer\\tkT4aB3VWojaxyR0ndcs9"}')
    assert out == b'{"Authorization":"Bearer\\t[REDACTED:key-name]"}'


@pytest.mark.parametrize(
    "unit",
    [
        "password=x ",
        "password ",
        '\\"password\\":',
        "key_",
        "a@b.cd ",
        "\\u0041",
        "%41%42",
        "-----BEGIN PRIVATE KEY-----",
        "token: ",
        "eyJ",
        "curl -u ",
        "name: x value: ",
    ],
)
def test_trap_8_lines_of_nothing_but_bait_stay_linear(strict: Sanitizer, unit: str) -> None:
    def seconds(size: int) -> float:
        line = b'{"a":"' + unit.encode() * (size // len(unit)) + b'"}'
        started = time.process_time()
        strict.redact_line(line)
        return time.process_time() - started

    small = max(min(seconds(1 << 14) for _ in range(3)), 0.001)
    assert (
        seconds(1 << 18) < 64 * small
    )  # sixteen times the bytes; quadratic would be 256 times the time


def test_trap_8_many_keys_stay_linear(strict: Sanitizer) -> None:
    started = time.process_time()
    members = ",".join(f'"password{i}":"x{i}"' for i in range(6000))
    out = strict.redact_line(b"{" + members.encode() + b"}")
    assert isinstance(out, bytes)
    assert out.count(b"[REDACTED:key-name]") == 6000
    assert time.process_time() - started < 3


def test_values_longer_than_any_window_are_redacted_whole(
    secrets_only: Sanitizer, catalogue: RuleCatalogue
) -> None:
    rng = random.Random(4)
    header = "eyJ" + "".join(rng.choices("ABCDEFGHabcdefgh0123456789", k=5000))
    token = f"{header}.eyJzdWIiOiJkZW1vIn0.{header[3:60]}"
    text = "prose " * 300 + token + " end " + "prose " * 300
    assert redact_value(secrets_only, {"t": text}) == {"t": text.replace(token, "[REDACTED:jwt]")}


def test_a_long_string_loses_its_secret_and_nothing_else(secrets_only: Sanitizer) -> None:
    text = "plain words " * (4 << 17) + "DB_PASSWORD=%s" + " plain words" * 10
    out = secrets_only.redact_line(json.dumps({"out": text % "hay7stack!"}).encode())
    assert out == json.dumps({"out": text % "[REDACTED:kv-assignment]"}).encode()
