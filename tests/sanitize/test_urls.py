"""Credentials in addresses, and in what is sent to them."""

from __future__ import annotations

import json

import pytest

from tests.sanitize.lines import redact_value
from tracesidecar.sanitize.sanitizer import Sanitizer

TOKEN = "kT4SL8wCoX8neRh2masjtHFXpPPaN0Fy5o3S"
HEX = "6629fae49393a05397450978507c4ef1"
FOUND = [
    (f"git clone https://{TOKEN}:x-oauth-basic@github.com/a/b", TOKEN),
    (f"https://{TOKEN}:@api.example.org/v1", TOKEN),
    (f"git remote add o https://oauth2:{TOKEN}@gitlab.example.org/a.git", TOKEN),
    ("postgres://app:p@ss7word@db.example.org/x", "p@ss7word"),
    ("mysql://app:p@ss7/x@db.example.org/x", "p@ss7/x"),
    ("amqp://u:p%40ss%2Fx9@host/v", "p%40ss%2Fx9"),
    ('dsn := "app:hay7stack@tcp(db.example.org:3306)/shop"', "hay7stack"),
    ("root:hay7stack@unix(/tmp/mysql.sock)/x", "hay7stack"),
    (f"curl -b 'session={TOKEN}' https://x.example.org", TOKEN),
    (f'curl --cookie "sid={TOKEN}" https://x.example.org', TOKEN),
    (f"curl -b sid={TOKEN} https://x.example.org", TOKEN),
    (f'Authorization: Digest username="bob", nonce="a", response="{HEX}"', HEX),
    (f"https://storage.googleapis.com/b/o?GoogleAccessId=x@y&Signature={TOKEN}%3D", TOKEN),
    (f"https://cos.example.org/o?q-sign-algorithm=sha1&q-ak=AKIDx&q-signature={HEX}", HEX),
    (f"https://x.cloudfront.net/a?Expires=1&Signature={TOKEN}__&Key-Pair-Id=K2", TOKEN),
    ("https://chat.example.org/hooks/xk3b9qz7tiyz8gq4r5u6w7e8ry", "xk3b9qz7tiyz8"),
    (f"https://events.pagerduty.com/integration/{HEX}/enqueue", HEX),
    (f"https://x.example.org/?pat={TOKEN}", TOKEN),
    ("http://user:pass1word@[2001:db8::1]:80/", "pass1word"),
    (f"https://x.example.org/cb#access_token={TOKEN}&state=1", TOKEN),
    ("AWS Secret Access Key [None]: kT45pbBNM3nLIQnt1nX4XYb7lq4dbQhBOmsP4dth", "kT45pbBN"),
    ("A temporary password is generated for root@localhost: hay7S;tack", "hay7S;tack"),
    (f"Please use the following password:\n\n{HEX}\n", HEX),
    ("kubectl create secret generic s --from-literal=db=hay7stack", "hay7stack"),
    ("<secret>{AQAAABAAAAAQkT4SL8wCoX8neRh2masjtHFX}</secret>", "kT4SL8wCoX8"),
]


@pytest.mark.parametrize(("text", "secret"), FOUND)
def test_a_credential_in_an_address_is_redacted(
    secrets_only: Sanitizer, text: str, secret: str
) -> None:
    for value in (text, {"cmd": json.dumps({"command": text})}):
        assert secret not in json.dumps(redact_value(secrets_only, {"out": value}))


@pytest.mark.parametrize(
    "text",
    [
        "https://u:@host.example.org/x",
        "https://registry.example.org/-/internationalization:latest",
        "ldapsearch -D cn=admin -b dc=example,dc=org",
        "curl -b cookies.txt -c cookies.txt https://x.example.org",
        "app@tcp(db.example.org:3306)/x",
        "https://example.org/hooks/use-internationalization-of-the-app",
        "the response=200 after 12 ms",
    ],
)
def test_an_address_without_a_credential_is_kept(secrets_only: Sanitizer, text: str) -> None:
    assert redact_value(secrets_only, {"out": text}) == {"out": text}
