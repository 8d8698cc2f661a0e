"""Tokens with a known prefix, and the signs that such a token continues elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.prefilter.anchors import Anchor, HitRole
from tracesidecar.sanitize.rules import Rule

_SHORTEST_PREFIX = 4
_JWT = "eyJ"
_SHORTEST_END = len(_JWT)
_LONGEST_REST = 512
_SHORTEST_NAME = 3
"""At least this many lower-case letters after a prefix, and nothing else, are a name: `xai-sdk`."""
_ORDINARY = frozenset(
    {"key-", "key_", "API-", "api-", "sdk-", "ext_", "dose", "secret_", "://", "sig="}
)
"""Prefixes that occur in ordinary text."""
_HEX = frozenset("0123456789abcdef")
BLOCK_RULES = frozenset({"private-key-pem", "putty-private-key"})
"""Rules that redact several lines, which may be the items of a list."""
_BLOCK_STARTS = (b"-----BEGIN", b"PuTTY-User-Key-File")
_BLOCK_ENDS = (b"-----END", b"Private-MAC", b"Private-Hash")


def token_prefixes_of(rule: Rule) -> tuple[str, ...]:
    """Return the prefixes by which a broken token of this rule is recognised.

    There are none for a rule that redacts more than one token.
    """
    if (
        rule.category != "secret"
        or rule.prefix_ci
        or rule.has_shared_anchor
        or r"[ \t]" in rule.regex
        or "(?s:" in rule.regex
        or "[^" in rule.regex
    ):
        return ()
    return tuple(prefix for prefix in rule.prefix if _is_distinctive(prefix))


def _is_distinctive(prefix: str) -> bool:
    if prefix in _ORDINARY or "/" in prefix or set(prefix) <= _HEX:
        return False
    return len(prefix) >= _SHORTEST_PREFIX or prefix == _JWT


class BrokenTokens:
    """Finds prefixes of tokens in raw JSON whose token is broken off."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        prefixes = {prefix.encode() for rule in rules for prefix in token_prefixes_of(rule)}
        self._prefixes = frozenset(prefixes)
        self._sizes: dict[bytes, list[int]] = {}
        for prefix in sorted(prefixes, key=len, reverse=True):
            self._sizes.setdefault(prefix[-_SHORTEST_END:], []).append(len(prefix))

    def anchors(self) -> list[Anchor]:
        """Return an anchor on the prefixes alone: what follows is examined at each hit."""
        return (
            [
                Anchor(
                    "token-prefix",
                    HitRole.TOKEN_PREFIX,
                    tuple(sorted(re.escape(prefix.decode()) for prefix in self._prefixes)),
                )
            ]
            if self._prefixes
            else []
        )

    def find_broken(self, raw: bytes, ends: Sequence[int]) -> Iterator[tuple[int, HitRole]]:
        """Return which of the prefixes that end at `ends` (ascending) begin a broken token.

        The role is SPLIT if it breaks off with its string, ENCODED if it breaks off with a line or
        is joined with another literal.
        """
        run_end = -1
        ending: re.Match[bytes] | None = None
        is_joined = False
        for at in ends:
            if at > run_end:  # examined once for all prefixes in the same run of characters
                run = patterns.TOKEN_RUN.match(raw, at)
                run_end = run.end() if run is not None else at
                is_joined = patterns.TOKEN_JOIN.match(raw, run_end) is not None
                ending = patterns.TOKEN_BREAK.match(raw, run_end)
            if not self._begins_word(raw, at):
                continue
            if is_joined:
                yield at, HitRole.ENCODED
            elif ending is not None and run_end - at <= _LONGEST_REST:
                if ending.group(1) in {b"n", b"r"}:
                    yield at, HitRole.ENCODED
                elif not _is_name(raw[at:run_end]):
                    yield at, HitRole.SPLIT

    def _begins_word(self, raw: bytes, at: int) -> bool:
        """Return False for a lower-case prefix in the middle of a word: `openapi_`."""
        sizes = self._sizes.get(raw[max(0, at - _SHORTEST_END) : at], ())
        size = next((size for size in sizes if raw[max(0, at - size) : at] in self._prefixes), 0)
        before = raw[max(0, at - size - 2) : at - size]
        return (
            not (before[-1:].islower() and raw[at - size : at - size + 1].islower())
            or before[:1] == b"\\"
        )


def _is_name(rest: bytes) -> bool:
    return len(rest) >= _SHORTEST_NAME and rest.isalpha() and rest.islower()


def block_starts(raw: bytes) -> list[int]:
    """Return where a key that spans several lines may begin."""
    return [match.end() for match in patterns.BLOCK_START.finditer(raw)]


def may_continue(raw: bytes, start: int, end: int) -> bool:
    """Return True if a key of several lines begins in raw[start:end] and does not end there."""
    begin = max(raw.rfind(block, start, end) for block in _BLOCK_STARTS)
    return begin >= 0 and not any(raw.find(mark, begin, end) >= 0 for mark in _BLOCK_ENDS)
