"""What must remain unchanged byte for byte."""

from __future__ import annotations

import base64
import json
import random

import pytest

from tests.sanitize.lines import chunk_of
from tracesidecar.sanitize.sanitizer import Sanitizer

RNG = random.Random(11)
IMAGE = base64.b64encode(RNG.randbytes(4000)).decode()
HEX = "".join(RNG.choices("0123456789abcdef", k=64))

BENIGN = {
    "git SHA": {"commit": HEX[:40], "message": f"merge {HEX[:40]} into main"},
    "digests": {
        "sha256": HEX,
        "integrity": "sha512-" + base64.b64encode(RNG.randbytes(64)).decode(),
    },
    "identifiers": {
        "uuid": "6f1c2d3e-4b5a-4978-8a6b-1c2d3e4f5a6b",
        "trace": HEX[:32],
        "span": HEX[:16],
        "call": "call_" + HEX[:24],
        "tool": "toolu_01" + HEX[:22],
    },
    "all-digit UUID": {"id": "22220000-0000-4000-8000-000000000001"},
    "counters": {
        "usage": {
            "total_tokens": 4711,
            "prompt_tokens": 1200,
            "per_turn_token": 1371,
            "tokens_per_second": 41.5,
            "time_to_first_token_ms": 210,
        }
    },
    "tokenizer": {
        "tokenizer": "bpe",
        "eos_token": "</s>",
        "pad_token_id": 0,
        "next_page_token": "b2Zmc2V0OjEwMA",
        "unk_token": "<unk>",
    },
    "log probabilities": {"logprobs": [{"token": " the", "logprob": -0.12, "bytes": [32, 116]}]},
    "descriptions": {
        "authorization_status": "granted",
        "password_policy": "at least 12",
        "api_key_id": "key-7",
        "secret_name": "prod/db",
        "auth_method": "oidc",
    },
    "look-alikes": {
        "author": "Mara Lind",
        "keyboard": "de",
        "secretary": "yes",
        "compass": "north",
        "text": "the bypass and the turnkey solution",
    },
    "sessions": {"session_id": "s-" + HEX[:20], "conversation_id": HEX[:24]},
    "model state": {
        "type": "thinking",
        "signature": base64.b64encode(RNG.randbytes(300)).decode(),
        "encrypted_content": base64.b64encode(RNG.randbytes(200)).decode(),
    },
    "image": {
        "source": {"type": "base64", "media_type": "image/png", "data": IMAGE},
        "url": "data:image/png;base64," + IMAGE,
    },
    "embedding": {"embedding": [round(RNG.uniform(-1, 1), 9) for _ in range(64)]},
    "versions": {
        "model": "some-model-4-5-20250929",
        "version": "1.2.3.4.5",
        "price": 0.02052,
        "date": "2026-11-21T10:11:12Z",
        "ip": "10.1.2.3",
    },
    "code": {
        "code": (
            "const apiKey = await getApiKey();\nlet pwd = process.cwd();\ntoken: string\n"
            "key = args[++i]\nos.environ['API_KEY']\nsettings.SECRET_KEY"
        )
    },
    "placeholders": {
        "text": (
            "password=*** API_KEY=<your-key> TOKEN=${TOKEN} SECRET=[REDACTED] "
            "PASSWORD={{ password }} pw=%s"
        ),
        "password": "********",
    },
    "prose": {
        "text": (
            "The password must be changed. A token is a word. Keep your secret, author. "
            "Basic understanding of bearer tokens."
        )
    },
    "addresses": {
        "text": (
            "see https://example.org:8443/a/b?page=2&q=x#top and git@github.com:acme/app.git, "
            "C:\\dir\\file"
        )
    },
    "big numbers": {
        "n": 123456789012345678901234567890,
        "f": 1.7976931348623157e308,
        "order": 4111111111111112,
    },
    "other tools' marks": {
        "text": "[REDACTED] <hidden> *** [Filtered]",
        "password": "[REDACTED]",
        "api_key": "<redacted>",
    },
}


@pytest.mark.parametrize("value", BENIGN.values(), ids=BENIGN.keys())
@pytest.mark.parametrize("ascii_only", [True, False])
def test_benign_values_are_unchanged_byte_for_byte(
    strict: Sanitizer, value: object, ascii_only: bool
) -> None:
    for shape in (value, {"nested": json.dumps(value, ensure_ascii=ascii_only)}):
        line = json.dumps(shape, ensure_ascii=ascii_only).encode()
        assert strict.redact_line(line) == line


ODD = [
    b'{ "a" : 123456789012345678901234567890 , "b":1.0e+5,"c" : "\\u00e9\\/\\t" }',
    b'[1E400,-0.0,1e-9999,"\\ud83d\\ude00"]',
    b'{"a":1,"a":2,"":null}',
    b'"\\u0000 and \x7f"',
]


@pytest.mark.parametrize("line", ODD)
def test_untouched_lines_keep_their_spelling(strict: Sanitizer, line: bytes) -> None:
    clean = strict(chunk_of(line + b"\n"))
    assert clean.data == line + b"\n"


@pytest.mark.parametrize("line", ODD[:1] + ODD[2:3])
def test_a_redaction_changes_only_the_secret(strict: Sanitizer, line: bytes) -> None:
    key_id = b"AKIA" + b"Q7LPMN5HFZKE2345"
    before = line[:-1] + b', "out":"\\u00e9 x\\n' + key_id + b'\\u00e9 \xc3\xa9" }'
    after = before.replace(key_id, b"[REDACTED:aws-access-key-id]")
    assert strict.redact_line(before) == after


def test_numbers_beyond_a_float_do_not_prevent_redaction(strict: Sanitizer) -> None:
    line = b'{"n":1e400,"headers":[["Authorization","Bearer abcdef123"]]}'
    assert (
        strict.redact_line(line)
        == b'{"n":1e400,"headers":[["Authorization","Bearer [REDACTED:key-name]"]]}'
    )
