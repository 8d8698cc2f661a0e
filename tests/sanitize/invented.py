"""Invented secrets and look-alikes, random by a seed.

The secrets have the formats that their vendors publish, in the contexts where agents leave them.
"""

from __future__ import annotations

import base64
import json
import pathlib
import random
import re
import string
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

_ALPHABETS = {
    "alnum": string.ascii_letters + string.digits,
    "word": string.ascii_letters + string.digits + "_-",
    "lower": string.ascii_lowercase + string.digits,
    "upper": string.ascii_uppercase + string.digits,
    "letters": string.ascii_lowercase,
    "hex": "0123456789abcdef",
    "HEX": "0123456789ABCDEF",
    "b32": string.ascii_uppercase + "234567",
    "b64": string.ascii_letters + string.digits + "+/",
    "digit": string.digits,
    "nonzero": "23456789",
    "strong": string.ascii_letters + string.digits + "!#%*+-_.@^~",
}
_MIXED = frozenset({"alnum", "word", "strong", "b64"})
_FIELD = re.compile(r"\{(\w+):(\d+)(?:-(\d+))?\}")
_TABLES = tomllib.loads(
    pathlib.Path(__file__).with_name("invented.toml").read_text(encoding="utf-8")
)


class Case(NamedTuple):
    """A text and the secret that must not remain in it.

    `kind` is the class of the secret, `shell` that of its context.
    """

    kind: str
    shell: str
    text: str
    secret: str


def draw(shape: str, rng: random.Random) -> str:
    """Fill `{alphabet:length}` and `{alphabet:from-to}`; `{uuid:1}` is a UUID."""

    def fill(match: re.Match[str]) -> str:
        name, low, high = match.group(1), int(match.group(2)), int(match.group(3) or match.group(2))
        if name == "uuid":
            raw = "".join(rng.choices(_ALPHABETS["hex"], k=32))
            return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"
        chosen = rng.choices(_ALPHABETS[name], k=rng.randint(low, high))
        if name in _MIXED and len(chosen) >= 8:  # a chance run of letters only is another class
            middle = len(chosen) // 2
            chosen[middle : middle + 3] = (
                rng.choice(string.digits),
                rng.choice(string.ascii_uppercase),
                rng.choice(string.ascii_lowercase),
            )
        return "".join(chosen)

    return _FIELD.sub(fill, shape)


def tokens(rng: random.Random) -> Iterator[Case]:
    """Tokens that are recognised by themselves, in any context."""
    for kind, shapes in _TABLES["tokens"].items():
        for shape in shapes:
            for shell in _TABLES["anywhere"]:
                yield _case(f"{kind}: {shape[:24]}", "anywhere", shell, draw(shape, rng))


def passwords(rng: random.Random) -> Iterator[Case]:
    """Passwords that their context identifies."""
    for shell in _TABLES["password_shells"]:
        for shape in _TABLES["values"]["passwords"]:
            yield _case(shape, "password_shells", shell, draw(shape, rng).strip(".-"))


def urls(rng: random.Random) -> Iterator[Case]:
    """Passwords in URLs."""
    for shell in _TABLES["urls"]:
        for shape in _TABLES["values"]["passwords"]:
            yield _case(
                shape,
                "urls",
                shell,
                draw(shape, rng).translate(dict.fromkeys(map(ord, "@#%^+!~"), "x")),
            )


def make_named_tokens(rng: random.Random) -> Iterator[Case]:
    """Tokens that only their context identifies."""
    for shell in _TABLES["token_shells"]:
        for shape in _TABLES["values"]["tokens"]:
            yield _case(shape, "token_shells", shell, draw(shape, rng))


def vendor_keys(rng: random.Random) -> Iterator[Case]:
    """Tokens next to the name of their service."""
    for vendor, shape in _TABLES["vendors"].items():
        for shell, text in _TABLES["vendor_shells"].items():
            secret = draw(shape, rng)
            yield Case(
                vendor,
                shell,
                text.replace("%v", vendor).replace("%V", vendor.upper()).replace("%s", secret),
                secret,
            )


def basic_credentials(rng: random.Random) -> Iterator[Case]:
    """User and password in base64."""
    for shell in (
        "Authorization: Basic %s",
        "curl -H 'authorization: basic %s' x",
        '{"Authorization": "Basic %s"}',
        "_auth=%s",
        "//r.example.org/:_auth=%s",
    ):
        for shape in _TABLES["values"]["passwords"]:
            secret = base64.b64encode(f"bob:{draw(shape, rng)}".encode()).decode()
            yield Case("basic", shell, shell % secret, secret)


def members(rng: random.Random) -> Iterator[Case]:
    """Values under the name of a credential, at any depth, and pairs of name and value."""
    for kind in ("password", "token"):
        for name in _TABLES["members"][f"{kind}_keys"]:
            for shape in _TABLES["values"][f"{kind}s"]:
                secret = draw(shape, rng)
                shells = (
                    {name: secret},
                    {"a": [{"b": {name: secret, "c": 1}}]},
                    {"env": [{"name": name, "value": secret}]},
                    {name: {"value": secret}},
                )
                yield from (
                    Case(name, f"member {i}", json.dumps(shell), secret)
                    for i, shell in enumerate(shells)
                )


GROUPS = {
    "tokens": tokens,
    "passwords": passwords,
    "urls": urls,
    "named tokens": make_named_tokens,
    "vendor keys": vendor_keys,
    "basic credentials": basic_credentials,
    "members": members,
}


def benign(rng: random.Random) -> Iterator[tuple[str, str]]:
    """(class, text) of what must not be redacted; a text that is JSON is also tried as a line."""
    for kind, shape in _TABLES["benign"].items():
        yield kind, draw(shape, rng)


def _case(kind: str, table: str, shell: str, secret: str) -> Case:
    return Case(kind, shell, _TABLES[table][shell].replace("%s", secret).replace("%%", "%"), secret)
