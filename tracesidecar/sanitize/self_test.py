"""Check with planted secrets that what must be redacted is redacted.

The daemon runs this at start and every hour. The lines take each way through the redactor.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules import Rule, RuleCatalogue

_PLANTED_RULES = ("aws-access-key-id", "github-token", "private-key-pem", "url-userinfo")
"""One rule of each kind: a literal, an open end, several lines, a part of a match."""
_VALUE = "kT4aB3VWojaxyR0ndcs9"


class PlantedLine(NamedTuple):
    """A line with a secret; none of `secrets` may remain in it."""

    name: str
    line: bytes
    secrets: tuple[str, ...]


def make_planted_lines(catalogue: RuleCatalogue, rules: Iterable[Rule]) -> tuple[PlantedLine, ...]:
    """Return the lines that these rules must redact."""
    active = {rule.id: rule for rule in rules}
    pair = {"headers": [["Authorization", f"Bearer {_VALUE}"]]}
    return (
        *(
            line
            for name in _PLANTED_RULES
            if name in active
            for line in _encodings_of(name, catalogue.example(active[name].positives[0]))
        ),
        PlantedLine("key-name", json.dumps({"db": {"password": _VALUE}}).encode(), (_VALUE,)),
        PlantedLine("pair", json.dumps(pair).encode(), (_VALUE,)),
    )


def _encodings_of(name: str, text: str) -> Iterator[PlantedLine]:
    encoded = base64.b64encode(text.encode()).decode()
    escaped = "".join(f"\\u{ord(c):04x}" for c in text)
    nested = json.dumps({"a": json.dumps({"b": json.dumps({"c": text})})})
    yield PlantedLine(f"{name}: plain", json.dumps({"out": text}).encode(), (text,))
    yield PlantedLine(f"{name}: nested", nested.encode(), (text,))
    yield PlantedLine(f"{name}: escaped", f'{{"a":"{escaped}"}}'.encode(), (text, escaped))
    yield PlantedLine(f"{name}: base64", json.dumps({"d": encoded}).encode(), (encoded,))


def find_failed_lines(
    lines: Iterable[PlantedLine], redact: Callable[[bytes], bytes | RejectionReason]
) -> tuple[str, ...]:
    """Return the names of the lines that kept their secret or were rejected."""
    return tuple(each.name for each in lines if not _is_redacted(redact(each.line), each.secrets))


def _is_redacted(out: bytes | RejectionReason, secrets: Iterable[str]) -> bool:
    if isinstance(out, RejectionReason) or b"[REDACTED:" not in out:
        return False
    return not any(
        form in out
        for secret in secrets
        for form in (secret.encode(), json.dumps(secret)[1:-1].encode())
    )
