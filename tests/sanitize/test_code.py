"""Code, documentation and schemas that only speak of credentials stay as they are."""

from __future__ import annotations

import base64
import json
import random

import pytest

from tests.sanitize.lines import redact_value
from tracesidecar.sanitize.sanitizer import Sanitizer

CODE = [
    'methods = ["trust", "reject", "password", "scram-sha-256"]',
    'supported = ["client_secret_post", "client_secret_basic", "implicit"]',
    "types = {'type': ['TEXT', 'PASSWORD', 'CHECKBOX']}",
    'lang, _ := r.Cookie("lang")',
    'raise InvalidToken("the signature is wrong")',
    "static params = ['otp', 'registry']",
    "def create_token(self, request, refresh_token=False):",
    "refresh_token_generator=None):",
    "com.example.management.ssl.need.client.auth=true|false",
    "if gotAuth1 != wantAuth1 {",
    "s.cookies[fCookie] = struct{}{}",
    "s.testPasswd = passwd",
    "TOKEN_EXECUTE = STANDARD_RIGHTS_EXECUTE",
    "my $pass = $assert->{pass};",
    "replace example.org/sdk/credentials => ../../../credentials/",
    'works are identified as "derived" by their author',
    "After this authorization, you can get the connection",
    "See `RFC6749#Authorization`: https://example.org/rfc6749#section-3.1",
    ".. _`Bearer Token`: https://example.org/rfc6750",
    "opts.headers.push('Authorization', 'Bearer [Some token]')",
    "Reinstall python3-jwt:amd64 (2.6.0-1, automatic)",
]


@pytest.mark.parametrize("text", CODE)
def test_code_that_names_a_credential_is_kept(secrets_only: Sanitizer, text: str) -> None:
    assert redact_value(secrets_only, {"out": text}) == {"out": text}


def test_the_schema_of_a_tool_is_kept(secrets_only: Sanitizer) -> None:
    password = {"type": "string", "description": "The password, at least 8 characters"}
    schema = {"type": "object", "properties": {"password": password}, "required": ["password"]}
    line = json.dumps({"name": "log_in", "input_schema": schema}).encode()
    assert secrets_only.redact_line(line) == line
    password["default"] = "Xy7!abcd"
    line = json.dumps({"name": "log_in", "input_schema": schema}).encode()
    assert b"Xy7!abcd" not in secrets_only.redact_line(line)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('setenv("DB_PASSWORD", "n33dle99")', "n33dle99"),
        ('System.setProperty("CRM_TOKEN", "747f25d5-12fd-9997-4a68-52566ba1e6eb")', "747f25d5"),
        ('easy_setopt(c, OPT_PASSWORD, "KiASRCRiGFLPDiIdZZLBXaNzXCMEdYIs");', "KiASRCRi"),
        ('if password == "hay7stack":', "hay7stack"),
    ],
)
def test_a_literal_beside_a_credential_is_redacted(
    secrets_only: Sanitizer, text: str, secret: str
) -> None:
    assert secret not in json.dumps(redact_value(secrets_only, {"out": text}))


def test_base64_of_pictures_and_hashes_is_kept(secrets_only: Sanitizer) -> None:
    rng = random.Random(9)
    for start in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"%PDF-1.7\n", b"PK\x03\x04"):
        for size in (700, 9_000, 60_000):
            content = base64.b64encode(start + rng.randbytes(size)).decode()
            lines = "\n".join(content[i : i + 76] for i in range(0, len(content), 76))
            for value in (content, f"data:image/png;base64,{content}", lines):
                assert redact_value(secrets_only, {"data": value}) == {"data": value}
    hashes = [base64.b64encode(rng.randbytes(64)).decode() for _ in range(2000)]
    lock = "\n".join(f'"integrity": "sha512-{each}",' for each in hashes)
    assert redact_value(secrets_only, {"out": lock}) == {"out": lock}


def test_a_token_that_is_not_inside_base64_is_redacted(secrets_only: Sanitizer) -> None:
    token = "AKCp" + "8k3B7xPqZ5mNw2RtY9sLd4Hf6Jg1Vc0Xb" * 2 + "QwE"
    for text in (f"https://repo.example.org/artifactory/{token}/x", f"a/b/{token}", token):
        assert token not in json.dumps(redact_value(secrets_only, {"out": text}))
