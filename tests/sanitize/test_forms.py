"""The notations in which people and programs write a credential, each with every kind of value."""

from __future__ import annotations

import json
import random

import pytest

from tests.sanitize.lines import placements, texts_of
from tracesidecar.sanitize.sanitizer import Sanitizer

RNG = random.Random(20)
LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
HEX = "0123456789abcdef"


def make_text(alphabet: str, size: int) -> str:
    return "".join(RNG.choices(alphabet, k=size))


VALUES = {
    "hex": make_text(HEX, 32),
    "long hex": make_text(HEX, 64),
    "letters and digits": make_text(LOWER, 32),
    "short": make_text(LOWER, 16),
    "digits": make_text("123456789", 18),
    "uuid": "-".join(make_text(HEX, n) for n in (8, 4, 4, 4, 12)),
    "dotted": "pat." + make_text(LOWER, 22) + "." + make_text(LOWER, 24),
    "padded": make_text(LOWER + LOWER.upper(), 22) + "==",
}
DIALECTS = r"""
acmeToken = {}
acmeToken="{}"
acme_TOKEN :::= "{}"
acme_TOKEN ?= "{}"
acme_token: {}
acme_token: '{}'
<acmeToken>{}</acmeToken>
<acmeToken>~    {}~</acmeToken>
String acmeToken = "{}";
var acmeToken: string = "{}"
let acme_token: &'static str = "{}";
acme_token: str | None = "{}"
$acmeToken .= "{}"
$acmeToken ??= "{}"
acmeToken <- "{}"
acmeToken := `{}`
acme_token = r"{}"
"acmeToken" => "{}"
settings["acme_token"] = "{}"
System.setProperty("ACME_TOKEN", "{}")
export ACME_TOKEN={}
ENV ACME_TOKEN {}
set -x ACME_TOKEN {}
setx ACME_TOKEN "{}"
$env:ACME_TOKEN = "{}"
-Dacme.token={}
--acme-token {}
GET /v1/things?acme_token={}&page=2
curl -H "X-Acme-Token: {}" https://api.example.org
{{"app.env": "ACME_TOKEN={}\\nDEBUG=true"}}
"""


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("dialect", DIALECTS.strip().split("\n"))
def test_a_named_token_is_redacted_in_every_notation(
    secrets_only: Sanitizer, dialect: str, value: str
) -> None:
    text = dialect.replace("~", "\n").format(value)
    for place, line in placements(text):
        out = secrets_only.redact_line(line)
        assert isinstance(out, bytes)
        assert not any(value in found for found in texts_of(json.loads(out))), place


SIGNS = "q{{u}i)r$k{y]pass(word[with>-_#signs}}"
CODE = r"""
{k} = "{v}"
{k}: '{v}'
{k} := {v}
char {k}[48] = "{v}";
std::string {k}("{v}");
NSString *{k} = @"{v}";
if ("{v}" === {k}) {{
if ({k} != "{v}")
{k} "{v}"
conf["{k}"] = "{v}"
#define {k} "{v}"
"""


@pytest.mark.parametrize(
    "key",
    ["password", "db_pass", "api_key", "my_private_key", "pasword", "secrete", "client_secret"],
)
@pytest.mark.parametrize("form", CODE.strip().split("\n"))
def test_a_password_of_any_characters_is_redacted_in_code(
    secrets_only: Sanitizer, form: str, key: str
) -> None:
    for place, line in placements(form.format(k=key, v=SIGNS)):
        out = secrets_only.redact_line(line)
        assert isinstance(out, bytes)
        assert not any(SIGNS in found for found in texts_of(json.loads(out))), place


def test_a_value_is_redacted_across_commas_and_semicolons(secrets_only: Sanitizer) -> None:
    assert (
        secrets_only.redact_text("password=ab1,c2;d3 next")
        == "password=[REDACTED:kv-assignment] next"
    )
    assert (
        secrets_only.redact_text("user=me,password=ab1c2,host=db")
        == "user=me,password=[REDACTED:kv-assignment],host=db"
    )


def test_further_occurrences_of_a_secret_in_a_text_are_redacted(secrets_only: Sanitizer) -> None:
    text = "login: Tr0ub4dor&3 / password: Tr0ub4dor&3, then Tr0ub4dor&3."
    assert "Tr0ub4dor" not in secrets_only.redact_text(text)
    plain = 'password="hunters", said the hunters'
    assert (
        secrets_only.redact_text(plain) == 'password="[REDACTED:kv-assignment]", said the hunters'
    )


def test_a_version_is_not_an_address(strict: Sanitizer) -> None:
    for value in (
        {"version": "20.31.0.6"},
        {"text": "pip install stubs-20.31.0.6 or version 20.31.0.7"},
    ):
        line = json.dumps(value).encode()
        assert strict.redact_line(line) == line
    assert strict.redact_text("peer 20.31.0.6 left") == "peer [REDACTED:ipv4] left"
