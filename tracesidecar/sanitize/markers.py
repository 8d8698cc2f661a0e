"""The marker that replaces a secret, and the spans that it replaces."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from tracesidecar.redaction_marker import MARKER_START

MARKER_START_BYTES = MARKER_START.encode()

Span = tuple[int, int, str]
"""[start, end) in the UTF-8 bytes of a text, and the rule that redacts it."""


class Marker:
    """Writes `[REDACTED:<rule>]`, or with a key `[REDACTED:<rule>:<8 hex digits of HMAC-SHA256>]`.

    Equal secrets have equal tags, and a secret cannot be recovered from its tag.
    """

    def __init__(self, key: str | None = None) -> None:
        self._key = key.encode() if key else None
        self._plain: dict[str, bytes] = {}

    def mark(self, rule: str, secret: bytes) -> bytes:
        """Return the marker for a secret that `rule` redacts."""
        if self._key is None:
            return self._plain.setdefault(rule, b"%b%b]" % (MARKER_START_BYTES, rule.encode()))
        tag = hmac.new(self._key, secret, sha256).hexdigest()[:8]
        return f"{MARKER_START}{rule}:{tag}]".encode()

    def redact(self, text: bytes, spans: Sequence[Span]) -> bytes:
        """Replace each span by its marker; the spans must be sorted and disjoint."""
        pieces: list[bytes] = []
        last = 0
        for start, end, rule in spans:
            pieces += (text[last:start], self.mark(rule, text[start:end]))
            last = end
        pieces.append(text[last:])
        return b"".join(pieces)


def merge_spans(spans: list[Span]) -> list[Span]:
    """Sort spans and merge those that overlap, under the rule of the first."""
    if len(spans) < 2:
        return spans
    spans.sort(key=lambda span: (span[0], -span[1]))
    joined = [spans[0]]
    for start, end, rule in spans[1:]:
        first, last, name = joined[-1]
        if start >= last:
            joined.append((start, end, rule))
        elif end > last:
            joined[-1] = (first, end, name)
    return joined
