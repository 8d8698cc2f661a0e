"""Ordinary lines that hold far more than usual: each is redacted precisely."""

from __future__ import annotations

import base64
import json
import random
import string
from typing import NamedTuple

_CHARACTERS = string.ascii_letters + string.digits


class HeavyLine(NamedTuple):
    """A line, the secrets in it, and as often as they occur, nothing else is redacted."""

    name: str
    line: bytes
    secrets: tuple[str, ...]
    is_personal: bool = False


class _Texts:
    def __init__(self) -> None:
        self._random = random.Random(13)
        self.secrets: list[str] = []

    def secret(self, length: int = 24) -> str:
        """Invent a secret, and remember it."""
        self.secrets.append("x7" + "".join(self._random.choices(_CHARACTERS, k=length - 2)))
        return self.secrets[-1]

    def keep(self, secret: str) -> str:
        """Remember what must be redacted."""
        self.secrets.append(secret)
        return secret

    def digest(self) -> str:
        """Invent an integrity hash of a lock file."""
        return "sha512-" + base64.b64encode(self._random.randbytes(64)).decode()

    def hexadecimal(self, length: int) -> str:
        """Invent a commit or a checksum."""
        return "".join(self._random.choices("0123456789abcdef", k=length))

    def number(self) -> float:
        """Invent a measured value."""
        return round(self._random.random() * 100, 3)


def make_heavy_lines() -> list[HeavyLine]:
    """Return each kind of line, from tool results that agents have printed."""
    made = []
    for name, make in _KINDS.items():
        texts = _Texts()
        line = json.dumps({"type": "tool_result", "content": make(texts)}).encode()
        made.append(HeavyLine(name, line, tuple(texts.secrets), "personal" in name))
    return made


def _settings(texts: _Texts) -> str:
    kinds = ("SECRET", "TOKEN", "API_KEY", "PASSWORD", "ACCESS_KEY")
    return "\n".join(f"APP_{i}_{kinds[i % 5]}={texts.secret()}" for i in range(500))


def _access_log(texts: _Texts) -> str:
    return "\n".join(
        f'203.0.113.{i % 250} - - [10/Oct/2026:13:55:{i % 60:02d} +0000] "GET /v1/items?'
        f'access_token={texts.secret(32)}&page={i} HTTP/1.1" 200 {i * 7} "-" "Mozilla/5.0"'
        for i in range(1000)
    )


def _addresses(texts: _Texts) -> str:
    return "id,name,email\n" + "\n".join(
        f"{i},User {i},{texts.keep(f'user{i}@mail{i % 40}.example.org')}" for i in range(5000)
    )


def _phones(texts: _Texts) -> str:
    return "\n".join(
        f"12:00:{i % 60:02d} INFO called {texts.keep(f'+49 171 5{i:06d}')} in {i % 90} ms"
        for i in range(2000)
    )


def _history(texts: _Texts) -> str:
    return "\n".join(
        f"commit {texts.hexadecimal(40)}\nAuthor: Dev <dev@example.org>\nDate: Mon Oct {i % 28 + 1}"
        f" 12:00:00 2026 +0200\n\n    auth: refresh the token in the middleware (#{i})\n"
        for i in range(1000)
    )


def _drawing(texts: _Texts) -> str:
    paths = (
        f'<path id="key{i}" d="M{texts.number()},{texts.number()} C{texts.number()},'
        f'{texts.number()} {texts.number()},{texts.number()} z"/>'
        for i in range(14_000)
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(paths)}</svg>'


def _numbers(texts: _Texts) -> dict[str, object]:
    return {**{str(i): texts.number() for i in range(35_000)}, "password": texts.secret()}


def _npm_lock(texts: _Texts) -> str:
    packages = {
        f"node_modules/pkg{i}": {
            "version": f"1.{i}.0",
            "resolved": f"https://registry.example.org/pkg{i}/-/pkg{i}-1.{i}.0.tgz",
            "integrity": texts.digest(),
        }
        for i in range(1500)
    }
    return json.dumps({"lockfileVersion": 3, "packages": packages}, indent=1)


def _cargo_lock(texts: _Texts) -> str:
    return "\n".join(
        f'[[package]]\nname = "crate{i}"\nversion = "0.{i}.1"\n'
        f'checksum = "{texts.hexadecimal(64)}"\n'
        for i in range(1500)
    )


_KINDS = {
    "500 lines of settings": _settings,
    "1,000 lines of an access log": _access_log,
    "5,000 e-mail addresses, personal": _addresses,
    "2,000 telephone numbers, personal": _phones,
    "1,000 commits": _history,
    "a drawing of 1 MB": _drawing,
    "35,000 numeric keys": _numbers,
    "35,000 numeric keys in a text": lambda texts: json.dumps(_numbers(texts)),
    "a lock file of npm": _npm_lock,
    "a lock file of cargo": _cargo_lock,
}
