"""Keys that name a credential, and keys that only look like it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from tests.sanitize.lines import redact_value
from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize.rules.catalogue import load_catalogue
from tracesidecar.sanitize.rules.key_names import KeyMatcher, words_of
from tracesidecar.sanitize.rules.value_checks import KeyClass
from tracesidecar.sanitize.sanitizer import Sanitizer

KEYS = KeyMatcher(load_catalogue().keys)

NOT_CREDENTIALS = """
prompt_tokens completionTokens total_tokens max_output_tokens cached_tokens reasoningTokens
token_count tokenizer tokenization eos_token pad_token_id next_page_token continuation_token
tokens_per_second token_usage token_type author authority authorization_status auth_method
auth_provider monkey keyboard hotkey turnkey primary_key cache_key sort_key partition_key
idempotencyKey public_key object_key api_key_id secret_name secret_arn secretary bypass compass
first_pass pass_rate session_id sessionId conversation_id trace_id request_id signature
encrypted_content password_policy password_length passwordHint cookie_domain cookies_enabled
credentials_file has_credentials_file expires_in client_id access_level api_version key keys
"""
STRONG = """
password passwd DB_PASSWORD dbPassword user.password password1 new_password passphrase pwd secret
clientSecret client_secret_value access_token refreshToken GITHUB_TOKEN auth_token x-csrftoken
X-Api-Key apikey apiKey APIKey ApIkEy PassWord api.key secretAccessKey AWS_SECRET_ACCESS_KEY
private_key ssh-key signing_key storage_account_key Ocp-Apim-Subscription-Key Authorization
proxy-authorization Set-Cookie session_cookie connectionString connection_string smtp_pass db_pass
jwt otp cvv psk vault.secret_id code_verifier to\u200bken_secret \uff50assword contrase\u00f1a
password_prod secret_key_base64
"""


@pytest.mark.parametrize("key", NOT_CREDENTIALS.split())
def test_a_key_that_names_no_credential_is_not_classified(key: str) -> None:
    assert KEYS.classify(key) is None


@pytest.mark.parametrize("key", STRONG.split())
def test_a_key_that_names_a_credential_is_strong_in_every_spelling(key: str) -> None:
    assert KEYS.classify(key) is KeyClass.STRONG


@pytest.mark.parametrize(
    ("key", "key_class"),
    [
        ("token", KeyClass.WEAK),
        ("tokenValue", KeyClass.WEAK),
        ("auth", KeyClass.WEAK),
        ("dsn", KeyClass.WEAK),
        ("has_password", KeyClass.WEAK),
        ("vendor_key", KeyClass.MAYBE),
    ],
)
def test_a_key_that_may_name_a_credential_leaves_it_to_the_value(
    key: str, key_class: KeyClass
) -> None:
    assert KEYS.classify(key) is key_class


def test_words_are_split_as_people_read_them() -> None:
    assert words_of("AWSSecretAccessKey2") == ("aws", "secret", "access", "key")
    assert words_of("x-api__KEY.v2 42") == ("x", "api", "key", "v")


@pytest.mark.parametrize(
    "key", ["to\u200bken_secret", "\uff50assword", "pass\u00adword", "db\\u0050assword"]
)
def test_invisible_and_wide_characters_in_a_key_hide_nothing(
    secrets_only: Sanitizer, key: str
) -> None:
    for ascii_only in (True, False):
        line = (
            json.dumps({key: "correct horse"}, ensure_ascii=ascii_only)
            .replace("\\\\u", "\\u")
            .encode()
        )
        out = secrets_only.redact_line(line)
        assert isinstance(out, bytes)
        assert list(json.loads(out).values()) == ["[REDACTED:key-name]"]


SPELLINGS: dict[str, Callable[[Sequence[str]], str]] = {
    "snake": lambda words: "_".join(words),
    "kebab": lambda words: "-".join(words),
    "camel": lambda words: words[0] + "".join(word.title() for word in words[1:]),
    "upper": lambda words: "_".join(words).upper(),
    "path": lambda words: ".".join(("cfg", *words)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_sensitive_name_in_every_spelling_reaches_the_redactor(
    secrets_only: Sanitizer, spelling: str
) -> None:
    vocabulary = load_catalogue().keys
    names: list[tuple[str, ...]] = [(word,) for word in vocabulary.strong]
    names += [(word, "key") for word in vocabulary.key_prev] + [
        (word, "pass") for word in vocabulary.pass_prev
    ]
    names += [(word, "token") for word in vocabulary.tokens_pos_prev] + [
        tuple(entry.split("_")) for entry in vocabulary.exact
    ]
    values = ("aB3dE5fG7hJ9kL1mN3pQ5rS7tU9v", "hunter22x", ["aB3dE5fG7hJ9kL1mN3pQ5rS7tU9v"])
    for name in names:
        for tail in ((), ("value",), ("prod",)):
            key = SPELLINGS[spelling]([*name, *tail])
            if (
                secrets_only._redactor._line_redactor._tools.keys.classify(key)
                is not KeyClass.STRONG
            ):
                continue
            for value in values:
                for line in ({key: value}, {"a": json.dumps({"b": 1, key: value})}):
                    out = json.dumps(redact_value(secrets_only, line))
                    assert "aB3dE5" not in out, key
                    assert "hunter22x" not in out, key


STRUCTURES = {
    "words under a password": ({"password": "correct horse"}, {"password": "[REDACTED:key-name]"}),
    "number under a password": ({"password": 48151623}, {"password": "[REDACTED:key-name]"}),
    "number under a token": ({"access_token": 1371}, {"access_token": 1371}),
    "literals": ({"password": None, "secret": True}, {"password": None, "secret": True}),
    "all below": (
        {"secrets": {"a": ["x1", {"b": "y2"}]}},
        {"secrets": {"a": ["[REDACTED:key-name]", {"b": "[REDACTED:key-name]"}]}},
    ),
    "header pairs": (
        [["Authorization", "Bearer abcdef123"]],
        [["Authorization", "Bearer [REDACTED:key-name]"]],
    ),
    "name and value": (
        [{"name": "DB_PASSWORD", "value": "hunter2"}],
        [{"name": "DB_PASSWORD", "value": "[REDACTED:pair]"}],
    ),
    "value and name": (
        [{"value": "hunter2", "key": "api_key"}],
        [{"value": "[REDACTED:pair]", "key": "api_key"}],
    ),
    "arguments": (
        ["run", "--password", "hunter2", "-v"],
        ["run", "--password", "[REDACTED:argv]", "-v"],
    ),
    "curl": (
        ["curl", "-u", "me:hunter2", "https://x"],
        ["curl", "-u", "[REDACTED:argv]", "https://x"],
    ),
    "log probabilities": (
        {"token": "abcdefgh12", "logprob": -0.1},
        {"token": "abcdefgh12", "logprob": -0.1},
    ),
    "JSON Web Key": (
        {"kty": "RSA", "e": "AQAB", "n": "abc", "d": "kT4aQqyH", "dp": "kT4b"},
        {
            "kty": "RSA",
            "e": "AQAB",
            "n": "abc",
            "d": "[REDACTED:key-name]",
            "dp": "[REDACTED:key-name]",
        },
    ),
    "placeholder": (
        {"password": "<your-password>", "api_key": "${API_KEY}"},
        {"password": "<your-password>", "api_key": "${API_KEY}"},
    ),
}


@pytest.mark.parametrize(("before", "after"), STRUCTURES.values(), ids=STRUCTURES.keys())
def test_structures_are_recognised_at_every_depth(
    secrets_only: Sanitizer, before: object, after: object
) -> None:
    assert redact_value(secrets_only, before) == after
    assert redact_value(secrets_only, {"n": 1, "deep": [before]}) == {"n": 1, "deep": [after]}
    nested = redact_value(secrets_only, {"deep": json.dumps({"x": [before]})})
    assert isinstance(nested, dict)
    assert json.loads(nested["deep"]) == {"x": [after]}


def test_both_values_of_a_repeated_name_are_redacted(secrets_only: Sanitizer) -> None:
    key_id = "AKIA" + "Q7LPMN5HFZKE2345"
    line = b'{"a":"%s","n":1,"a":2,"password":"x one","password":"x two"}' % key_id.encode()
    assert secrets_only.redact_line(line) == (
        b'{"a":"[REDACTED:aws-access-key-id]","n":1,"a":2,"password":"[REDACTED:key-name]","password":"[REDACTED:key-name]"}'
    )


def test_json_in_strings_is_parsed_eight_levels_deep(secrets_only: Sanitizer) -> None:
    value: object = {"password": "correct horse"}
    for _ in range(8):
        value = {"in": json.dumps(value)}
    assert "correct horse" not in json.dumps(redact_value(secrets_only, value))


@pytest.mark.parametrize("name", ["", "a__b", "naïve", "x\ny", "-", "a b c "])
def test_a_custom_key_name_must_consist_of_words(name: str) -> None:
    with pytest.raises(ConfigurationError):
        KeyMatcher(load_catalogue().keys, [name])
