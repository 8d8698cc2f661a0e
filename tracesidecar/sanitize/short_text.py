"""Judge a short text that did not come from a trace, such as the beginning of a server's answer.

Redaction takes the rules' own expressions, one after another. A `Sanitizer` would do the same for
any text, but costs seconds and megabytes to make, and belongs to the worker thread.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from tracesidecar.sanitize.engine import Re2Pattern
from tracesidecar.sanitize.markers import Marker, Span, merge_spans
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.rules import active_rules, load_catalogue


def redact_short_text(text: str) -> str:
    """Return the text with secrets and personal data replaced by markers.

    For a few hundred characters; any thread may call it. It is stricter than a `Sanitizer`: what
    only looks like a secret is replaced, too.
    """
    content = text.encode("utf-8", "replace")
    spans: list[Span] = [
        (*pattern.find_part(match, group), rule)
        for rule, group, pattern in _patterns()
        for match in pattern.finditer(content)
    ]
    return Marker().redact(content, merge_spans(spans)).decode("utf-8", "replace")


def contains_any(content: bytes, words: Collection[bytes]) -> bool:
    """Return whether one of a few hundred short words is in the content; letter case is the same.

    One pass over the content, whatever the number of words.
    """
    if not words:
        return False
    alternatives = "|".join(re.escape(word.decode("latin-1")) for word in sorted(words))
    return Re2Pattern(f"(?i:{alternatives})", is_binary=True).search(content) is not None


@cache
def _patterns() -> tuple[tuple[str, int, Re2Pattern], ...]:
    rules = active_rules(load_catalogue(), RedactionOptions(pii=True))
    return tuple((rule.id, rule.group, Re2Pattern(rule.regex)) for rule in rules)
