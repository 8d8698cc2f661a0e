"""Where in a chunk something may have to be redacted: three scans over all its bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from tracesidecar.sanitize.engine import (
    HIT_LIMIT,
    Hit,
    ScanEngine,
    Scanner,
    ScanPattern,
    TooManyHits,
    hit_limit_for,
)
from tracesidecar.sanitize.prefilter import anchors
from tracesidecar.sanitize.prefilter.anchors import Anchor, HitRole
from tracesidecar.sanitize.prefilter.base64_runs import Base64Runs, is_compressed_start
from tracesidecar.sanitize.prefilter.token_prefixes import BrokenTokens
from tracesidecar.sanitize.rules import Rule
from tracesidecar.sanitize.stream_events import list_stream_signs

_WHOLE_ROLES = frozenset({HitRole.CERTAIN, HitRole.NEEDS_BOUNDARY})


class StreamSigns(NamedTuple):
    """Offsets at which a line may carry a piece of a streamed text.

    `pieces` are those of the stream signs, `broken` those of tokens that break off with a string.
    """

    pieces: list[int]
    broken: list[int]


_RESOLVED_ROLES = (HitRole.ENCODED, HitRole.SPLIT)


class Candidates:
    """Scans chunks with all anchors. For one thread at a time.

    The id of a hit is an index into `roles`.
    """

    def __init__(
        self, rules: Sequence[Rule], engine: ScanEngine, custom_names: Sequence[str] = ()
    ) -> None:
        self._broken_tokens = BrokenTokens(rules)
        kinds = [
            *anchors.rule_anchors(rules),
            *anchors.keyword_anchors(custom_names),
            *anchors.list_encoded_anchors(),
            *self._broken_tokens.anchors(),
            Anchor("stream", HitRole.STREAM, list_stream_signs()),
        ]
        self._anchors = _scanner(engine, "anchors", kinds, 0)
        numeric = anchors.numeric_anchor()
        self._numeric = (
            _scanner(engine, "numeric", [numeric], len(kinds))
            if any(rule.anchor == "numeric" for rule in rules)
            else None
        )
        kinds.append(numeric)
        self._base64 = Base64Runs(engine, len(kinds))
        kinds.append(anchors.base64_text_anchor())
        roles = [kind.role for kind in kinds]
        self._unresolved = {
            i: role
            for i, role in enumerate(roles)
            if role in {HitRole.TOKEN_PREFIX, HitRole.COMPRESSED, HitRole.STREAM}
        }
        self._resolved = {role: len(roles) + i for i, role in enumerate(_RESOLVED_ROLES)}
        self.roles: tuple[HitRole, ...] = (*roles, *_RESOLVED_ROLES)

    def find_hits(self, data: bytes, stream_signs: StreamSigns | None = None) -> list[Hit]:
        """Return the hits in order; raise TooManyHits if there are too many to examine each.

        Where pieces of streamed texts may be is added to `stream_signs`.
        """
        limit = hit_limit_for(len(data))
        found = self._anchors.find_hits(data, limit)
        if self._numeric is not None:
            found += self._numeric.find_hits(data, limit)
        found += self._base64.find_hits(data)
        if len(found) > HIT_LIMIT:
            raise TooManyHits
        if not self._unresolved.keys().isdisjoint([kind for _, kind in found]):
            found = self._resolve(data, found, stream_signs)
        found.sort()
        return found

    def find_anchor_hits(self, data: bytes) -> list[Hit]:
        """Return the hits of all anchors except those on digits and base64, unresolved."""
        return self._anchors.find_hits(data)

    def _resolve(
        self, data: bytes, found: Sequence[Hit], stream_signs: StreamSigns | None
    ) -> list[Hit]:
        """Replace hits on mere beginnings by what they mean, judged by the bytes around them."""
        hits: list[Hit] = []
        offsets: dict[HitRole, list[int]] = {
            HitRole.TOKEN_PREFIX: [],
            HitRole.COMPRESSED: [],
            HitRole.STREAM: [],
        }
        for hit in found:
            role = self._unresolved.get(hit[1])
            if role is None:
                hits.append(hit)
            else:
                offsets[role].append(hit[0])
        broken = list(self._broken_tokens.find_broken(data, sorted(offsets[HitRole.TOKEN_PREFIX])))
        hits += [(at, self._resolved[role]) for at, role in broken]
        hits += [
            (at, self._resolved[HitRole.ENCODED])
            for at in offsets[HitRole.COMPRESSED]
            if is_compressed_start(data, at)
        ]
        if stream_signs is not None:
            stream_signs.pieces.extend(offsets[HitRole.STREAM])
            whole = sorted(at for at, kind in hits if self.roles[kind] in _WHOLE_ROLES)
            stream_signs.broken.extend(
                at
                for at, role in broken
                if role is HitRole.SPLIT and not _is_whole(data, at, whole)
            )
        return hits


def _is_whole(data: bytes, at: int, whole: Sequence[int]) -> bool:
    """Return whether the token that begins at an offset is one that ends in the same string."""
    i = bisect_right(whole, at)
    return i < len(whole) and data.find(b'"', at, whole[i]) < 0


def _scanner(engine: ScanEngine, name: str, kinds: Sequence[Anchor], first: int) -> Scanner:
    return engine.compile(
        name,
        [
            ScanPattern(i, pattern)
            for i, kind in enumerate(kinds, first)
            for pattern in kind.patterns
        ],
    )
