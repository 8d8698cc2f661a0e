"""Planted secrets: asked at start and every hour whether what must be cut is cut, in each way a
line takes through the redactor.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable

from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules.catalogue import Rule, RuleCatalogue

_PLANTED = ("aws-access-key-id", "github-token", "private-key-pem", "url-userinfo")
"""One rule of each kind: a literal, an open tail, several lines, a part of a match."""
_WORDS = "kT4aB3VWojaxyR0ndcs9"


def planted(
    catalogue: RuleCatalogue, rules: Iterable[Rule]
) -> list[tuple[str, bytes, tuple[str, ...]]]:
    """Return (name, line, what must not be left of it) for what these rules must cut."""
    on = {rule.id: rule for rule in rules}
    lines: list[tuple[str, bytes, tuple[str, ...]]] = []
    for name in _PLANTED:
        if name in on:
            text = catalogue.example(on[name].positives[0])
            lines += _placed(name, text)
    lines.append(("key-name", json.dumps({"db": {"password": _WORDS}}).encode(), (_WORDS,)))
    lines.append(
        (
            "pair",
            json.dumps({"headers": [["Authorization", f"Bearer {_WORDS}"]]}).encode(),
            (_WORDS,),
        )
    )
    return lines


def _placed(name: str, text: str) -> list[tuple[str, bytes, tuple[str, ...]]]:
    encoded = base64.b64encode(text.encode()).decode()
    escaped = "".join(f"\\u{ord(c):04x}" for c in text)
    return [
        (f"{name}: plain", json.dumps({"out": text}).encode(), (text,)),
        (
            f"{name}: nested",
            json.dumps({"a": json.dumps({"b": json.dumps({"c": text})})}).encode(),
            (text,),
        ),
        (f"{name}: escaped", f'{{"a":"{escaped}"}}'.encode(), (text, escaped)),
        (f"{name}: base64", json.dumps({"d": encoded}).encode(), (encoded,)),
    ]


def passed(
    lines: Iterable[tuple[str, bytes, tuple[str, ...]]],
    redact: Callable[[bytes], bytes | RejectionReason],
) -> tuple[str, ...]:
    """Return the names of the planted lines that came through with their secret, or did not come
    through at all.
    """
    return tuple(name for name, line, secrets in lines if not _is_cut(redact(line), secrets))


def _is_cut(out: bytes | RejectionReason, secrets: Iterable[str]) -> bool:
    if isinstance(out, RejectionReason) or b"[REDACTED:" not in out:
        return False
    return not any(
        form in out
        for secret in secrets
        for form in (secret.encode(), json.dumps(secret)[1:-1].encode())
    )
