"""Secrets in encoded, wrapped and split forms: each is found, and the text around it stays."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import quopri
import re
import zlib

import pytest

from tests.sanitize.lines import chunk_of, redact_value, texts_of
from tracesidecar.sanitize.sanitizer import Sanitizer

KEY_ID = "AKIA" + "QYLPMN5HFZKE2345"
LONG = "ghp_" + "kT4aB3VWojaxyR0ndcs9DIiB3kkptctliEJa"
CLAIMS = "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6Ik1hcmEifQ"
JWT = f"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{CLAIMS}.kT4aB3VWojaxyR0ndcs9DIiB3kkptctliEJaLEo"
PEM = [
    "-----BEGIN RSA PRIVATE " + "KEY-----",
    "MIIEkT4aB3VWojaxyR0ndcs9DIiB3kkptctliEJaLEo0pQ",
    "QWERkT4aB3VWojaxyR0n",
    "-----END RSA PRIVATE " + "KEY-----",
]
ENV = f"AWS_ACCESS_KEY_ID={KEY_ID}"


# a character before the first letter and a zero after the last reveal nothing, nor do lines of
# base64 without the secret
MARKER = re.compile(r"(?:A\x08)?(?:[A-Za-z0-9+/]{76}\n)?\[REDACTED:[a-z0-9-]+\]\0?")


def b64(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def wrap(text: str, width: int, end: str = "\n") -> str:
    return end.join(text[i : i + width] for i in range(0, len(text), width))


def nest(value: object, depth: int) -> object:
    for _ in range(depth):
        value = {"n": json.dumps(value)}
    return value


TEXTS = {
    "base64": b64(ENV),
    "base64 twice": b64(b64(ENV)),
    "base64 three times": b64(b64(b64(ENV))),
    "base64 in lines": wrap(
        b64(
            "HOME=/home/dev\nLANG=C.UTF-8\nTERM=xterm\n"
            + ENV
            + "\nPATH=/usr/bin:/bin\nPWD=/work/app"
        ),
        76,
    ),
    "base64 in short lines, indented": wrap(
        b64("HOME=/home/dev\n" + ENV + "\nPATH=/usr/bin:/bin"), 64, "\r\n    "
    ),
    "gzip and base64": b64(gzip.compress(ENV.encode(), mtime=0)),
    "zlib and base64": b64(zlib.compress(ENV.encode())),
    "zlib best and base64": b64(zlib.compress(ENV.encode(), 9)),
    "bzip2 and base64": b64(bz2.compress(ENV.encode())),
    "base64 in gzip and base64": b64(gzip.compress(b64(ENV).encode(), mtime=0)),
    "a packed file that would fill the memory": b64(
        gzip.compress(b" " * 200_000 + ENV.encode(), mtime=0)
    ),
    "percent": "".join(f"%{ord(c):02X}" for c in KEY_ID),
    "percent twice": "".join(f"%25{ord(c):02x}" for c in KEY_ID),
    "entities": "".join(f"&#x{ord(c):x};" for c in KEY_ID),
    "entities twice": "".join(f"&amp;#{ord(c)};" for c in KEY_ID),
    "byte escapes": "".join(f"\\x{ord(c):02x}" for c in KEY_ID),
    "braced escapes": "".join(f"\\u{{{ord(c):x}}}" for c in KEY_ID),
    "quoted-printable": "".join(f"={ord(c):02X}" for c in KEY_ID),
    "percent in entities": "".join(f"&#37;{ord(c):02X}" for c in KEY_ID),
    "colour inside": KEY_ID[:6] + "\x1b[0m" + KEY_ID[6:],
    "window title inside": KEY_ID[:6] + "\x1b]0;title\x07" + KEY_ID[6:],
    "character set inside": KEY_ID[:6] + "\x1b(B" + KEY_ID[6:],
    "zero width and colour": KEY_ID[:6] + "\u200b" + KEY_ID[6:9] + "\x1b[31m" + KEY_ID[9:],
    "right-to-left marks": KEY_ID[:6] + "\u202e\u202c" + KEY_ID[6:],
    "variation selector": KEY_ID[:6] + "\ufe0e" + KEY_ID[6:],
    "overstruck": "".join(f"{c}\b{c}" for c in KEY_ID),
    "UTF-16 read as UTF-8": "".join(f"{c}\0" for c in KEY_ID),
    "full width": "".join(chr(ord(c) + 0xFEE0) for c in KEY_ID),
    "mathematical": "".join(
        chr(0x1D400 + ord(c) - 65) if c.isalpha() else chr(0x1D7CE + ord(c) - 48) for c in KEY_ID
    ),
    "circled": "".join(chr(0x24B6 + ord(c) - 65) if c.isalpha() else c for c in KEY_ID),
    "wrapped": wrap(KEY_ID, 10),
    "wrapped and indented": wrap(LONG, 20, "\r\n    "),
    "wrapped in a mail": wrap(LONG, 24, "\n> "),
    "wrapped in three": wrap(JWT, 50),
}


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_only_the_hidden_secret_is_redacted(
    secrets_only: Sanitizer, form: str, ascii_only: bool, depth: int
) -> None:
    hidden = TEXTS[form]
    before, after = "seen at 100 % — ok?\n", "\nand \u4e2d\u6587 behind it"
    value = nest({"d": before + hidden + after, "id": 7}, depth)
    line = secrets_only.redact_line(json.dumps(value, ensure_ascii=ascii_only).encode())
    assert isinstance(line, bytes)
    texts = list(texts_of(json.loads(line)))
    leaf = next(text for text in texts if text.startswith("seen at"))
    assert leaf.startswith(before)
    assert leaf.endswith(after)
    assert MARKER.fullmatch(leaf[len(before) : -len(after)])
    assert secrets_only.redact_line(line) == line


VALUES: dict[str, object] = {
    "two fields": {"p1": KEY_ID[:8], "p2": KEY_ID[8:]},
    "three fields of five": {"a": "x", "b": LONG[:9], "c": LONG[9:20], "d": LONG[20:], "e": "tail"},
    "a list": ["see", KEY_ID[:6], KEY_ID[6:], "end"],
    "a list of objects": {
        "parts": [
            {"n": 1, "delta": KEY_ID[:7]},
            {"n": 2, "delta": KEY_ID[7:14]},
            {"n": 3, "delta": KEY_ID[14:]},
        ]
    },
    "PEM as a list of lines": {"lines": ["$ cat key", *PEM, "$ "]},
    "PEM as a list of numbered lines": [{"n": i, "text": f"{line}"} for i, line in enumerate(PEM)],
    "PEM as a list, cut off": PEM[:3],
    "PEM in one string, cut off": {"f": "\n".join(PEM[:3])},
    "PEM numbered": {"f": "\n".join(f"{i:6d}\t{line}" for i, line in enumerate(PEM, 1))},
    "pieces nested": {"a": json.dumps({"p1": KEY_ID[:8], "p2": KEY_ID[8:]})},
}


@pytest.mark.parametrize("form", VALUES)
def test_no_piece_of_a_split_secret_remains(secrets_only: Sanitizer, form: str) -> None:
    out = redact_value(secrets_only, VALUES[form])
    joined = "".join(texts_of(out))
    for piece in (KEY_ID[:6], KEY_ID[8:], LONG[9:20], LONG[20:], PEM[1][:20], PEM[2]):
        assert piece not in joined
    assert "[REDACTED:" in joined
    assert redact_value(secrets_only, out) == out


def test_a_split_secret_counts_once_and_its_neighbours_stay(secrets_only: Sanitizer) -> None:
    value = {
        "parts": [
            {"n": 1, "delta": "my key " + KEY_ID[:7]},
            {"n": 2, "delta": KEY_ID[7:14]},
            {"n": 3, "delta": KEY_ID[14:] + " done"},
        ]
    }
    clean = secrets_only(chunk_of(json.dumps(value).encode() + b"\n"))
    parts = [
        {"n": 1, "delta": "my key [REDACTED:aws-access-key-id]"},
        {"n": 2, "delta": ""},
        {"n": 3, "delta": " done"},
    ]
    assert json.loads(clean.data) == {"parts": parts}
    assert clean.redactions == (("aws-access-key-id", 1),)


@pytest.mark.parametrize(
    "value",
    [
        ["ghp_", "gh issue"],
        {"a": LONG, "b": "plain words"},
        [KEY_ID, "next"],
        {"k": "npm_config", "v": "registry"},
    ],
)
def test_a_complete_token_does_not_affect_its_neighbour(
    secrets_only: Sanitizer, value: object
) -> None:
    kept = {text for text in texts_of(value) if text not in {LONG, KEY_ID}}
    assert kept <= set(texts_of(redact_value(secrets_only, value)))


@pytest.mark.parametrize("depth", range(1, 9))
def test_nested_json_is_parsed_eight_levels_deep(secrets_only: Sanitizer, depth: int) -> None:
    out = redact_value(secrets_only, nest({"password": "correct horse", "n": 1}, depth))
    for _ in range(depth):
        assert isinstance(out, dict)
        out = json.loads(out["n"])
    assert out == {"password": "[REDACTED:key-name]", "n": 1}


def test_below_the_eighth_level_a_suspect_string_is_replaced_whole(secrets_only: Sanitizer) -> None:
    out = redact_value(secrets_only, nest({"password": "correct horse"}, 9))
    assert "correct horse" not in json.dumps(out)
    assert "[REDACTED:too-deep]" in json.dumps(out)
    deep = nest({"words": "nothing to see"}, 10)
    assert redact_value(secrets_only, deep) == deep


def test_the_values_of_two_equal_names_are_both_redacted(secrets_only: Sanitizer) -> None:
    line = b'{"a":"%s","b":{"password":"one two","password":"three"},"a":1}' % KEY_ID.encode()
    assert (
        secrets_only.redact_line(line) == b'{"a":"[REDACTED:aws-access-key-id]",'
        b'"b":{"password":"[REDACTED:key-name]","password":"[REDACTED:key-name]"},"a":1}'
    )


def test_soft_line_breaks_of_mail_hide_nothing(secrets_only: Sanitizer) -> None:
    body = quopri.encodestring(
        f"Grüße! der Schlüssel = {LONG}, bitte nicht weitergeben".encode()
    ).decode()
    assert LONG[:20] not in json.dumps(redact_value(secrets_only, {"mail": body}))


def test_compressed_data_without_secrets_stays(secrets_only: Sanitizer) -> None:
    value = {
        "a": b64(gzip.compress(b"nothing but words, and some more of them", mtime=0)),
        "b": b64(zlib.compress(b"x y z " * 30)),
    }
    assert redact_value(secrets_only, value) == value
