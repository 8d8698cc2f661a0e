"""Check with planted secrets that what must be redacted is redacted.

Each Sanitizer does this before it takes its first line, so that no command redacts without it, and
the daemon repeats it every hour. The lines take each way through the redactor: each compiled
database, each kind of search, each decoder that has one of its own. Besides, each rule's example
must be seen: a database may lack a single rule.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules import Rule, RuleCatalogue

_PLANTED_RULES = ("aws-access-key-id", "github-token", "private-key-pem", "url-userinfo")
"""One rule of each kind: a literal, an open end, several lines, a part of a match."""
_LONG_RULE = "github-token"
_ASSIGNMENT_RULE = "kv-assignment"
_VALUE = "kT4aB3VWojaxyR0ndcs9"
_MANY = 2000
"""So many hits in a line of so few bytes are more than are examined one by one."""
_MEMBER = "planted by tracesidecar"
"""Everything is in this member: the configuration may allow secrets at a path such as `$.out`."""
_FILLER = "The quick brown fox jumps over the lazy dog. " * 8


class PlantedLine(NamedTuple):
    """A line with a secret, or several that stream one; none of `secrets` may remain in it."""

    name: str
    line: bytes
    secrets: tuple[str, ...]

    @property
    def is_streamed(self) -> bool:
        """Whether it is several lines."""
        return b"\n" in self.line


class RuleExample(NamedTuple):
    """What a rule is for, as text and as a line with its newline."""

    rule: str
    text: bytes
    line: bytes


def make_planted_lines(catalogue: RuleCatalogue, rules: Iterable[Rule]) -> tuple[PlantedLine, ...]:
    """Return the lines that these rules must redact."""
    active = {rule.id: rule for rule in rules}
    examples = {name: catalogue.example(rule.positives[0]) for name, rule in active.items()}
    pair = {"headers": [["Authorization", f"Bearer {_VALUE}"]]}
    lines = [
        line
        for name in _PLANTED_RULES
        if name in active
        for line in _encodings_of(name, examples[name])
    ]
    if _LONG_RULE in active:
        lines += _pieces_of(examples[_LONG_RULE])
    if _ASSIGNMENT_RULE in active:
        lines.append(_line("assignment", {"out": f"export DB_PASSWORD={_VALUE}"}, _VALUE))
    numeric = next((name for name, rule in active.items() if rule.anchor == "numeric"), None)
    if numeric is not None:
        lines.append(_line(f"{numeric}: number", {"out": examples[numeric]}, examples[numeric]))
    return (
        *lines,
        _line("key-name", {"db": {"password": _VALUE}}, _VALUE),
        _line("pair", pair, _VALUE),
    )


def make_rule_examples(catalogue: RuleCatalogue, rules: Iterable[Rule]) -> tuple[RuleExample, ...]:
    """Return the first example of each of these rules."""
    texts = ((rule.id, catalogue.example(rule.positives[0])) for rule in rules)
    return tuple(
        RuleExample(name, text.encode(), json.dumps({"out": text}).encode() + b"\n")
        for name, text in texts
    )


def _line(name: str, document: object, *secrets: str) -> PlantedLine:
    return PlantedLine(name, json.dumps({_MEMBER: document}).encode(), secrets)


def _encodings_of(name: str, text: str) -> Iterator[PlantedLine]:
    encoded = base64.b64encode(text.encode()).decode()
    hexadecimal = f"{_FILLER[:10]}{text} {_FILLER[:10]}".encode().hex()
    long = base64.b64encode(f"{_FILLER}{text} {_FILLER}".encode()).decode()
    escaped = "".join(f"\\u{ord(c):04x}" for c in text)
    percent = "".join(f"%{byte:02x}" for byte in text.encode())
    nested = {"a": json.dumps({"b": json.dumps({"c": text})})}
    yield _line(f"{name}: plain", {"out": text}, text)
    yield _line(f"{name}: nested", nested, text)
    escaped_line = json.dumps({_MEMBER: ""}).replace('""', f'"{escaped}"')
    yield PlantedLine(f"{name}: escaped", escaped_line.encode(), (text, escaped))
    yield _line(f"{name}: percent", {"out": percent}, percent)
    yield _line(f"{name}: base64", {"d": encoded}, encoded)
    if text.isascii() and "\n" not in text:
        yield _line(f"{name}: hex", {"d": hexadecimal}, hexadecimal)
    yield _line(f"{name}: long base64", {"d": long}, long)


def _pieces_of(token: str) -> Iterator[PlantedLine]:
    """Yield a token among many hits, compressed, split over strings, and split over lines."""
    half = len(token) // 2
    first, second = token[:half], token[half:]
    packed = base64.b64encode(gzip.compress(f"{_FILLER}{token}".encode(), mtime=0)).decode()
    delta = {"type": "response.output_text.delta", "item_id": "m", "content_index": 0}
    end = {"type": "response.output_text.done", "item_id": "m", "content_index": 0}
    streamed = [{**delta, "delta": first}, {**delta, "delta": second}, end]
    yield _line("token: many hits", {"out": [token[:4] * _MANY, token]}, token)
    yield _line("token: compressed", {"d": packed}, packed)
    yield _line("token: split", {"out": [first, second]}, first, second)
    yield PlantedLine(
        "token: streamed",
        b"\n".join(json.dumps(each).encode() for each in streamed),
        (first, second),
    )


def find_failed_lines(
    lines: Iterable[PlantedLine], redact: Callable[[PlantedLine], bytes | RejectionReason]
) -> tuple[str, ...]:
    """Return the names of the lines that kept their secret or were rejected."""
    return tuple(each.name for each in lines if not _is_redacted(redact(each), each.secrets))


def find_unseen_rules(
    examples: Sequence[RuleExample],
    find_suspects: Callable[[bytes], Iterable[int]],
    find_rules: Callable[[bytes], Iterable[str]],
) -> tuple[str, ...]:
    """Return the rules whose examples are not suspected, or not examined by the rule.

    `find_suspects` returns where in whole lines the suspect ones begin, `find_rules` which rules
    may match in a text.
    """
    if not examples:
        return ()
    suspects = set(find_suspects(b"".join(each.line for each in examples)))
    examined = set(find_rules(b"\n".join(each.text for each in examples)))
    unseen, start = [], 0
    for each in examples:
        if start not in suspects or each.rule not in examined:
            unseen.append(each.rule)
        start += len(each.line)
    return tuple(unseen)


def _is_redacted(out: bytes | RejectionReason, secrets: Iterable[str]) -> bool:
    if isinstance(out, RejectionReason) or b"[REDACTED:" not in out:
        return False
    return not any(
        form in out
        for secret in secrets
        for form in (secret.encode(), json.dumps(secret)[1:-1].encode())
    )
