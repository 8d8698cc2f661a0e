"""Where in a chunk something may have to be cut: three scans of all its bytes."""

from __future__ import annotations

from collections.abc import Sequence

from tracesidecar.sanitize.engine.interface import (
    HIT_LIMIT,
    Hit,
    ScanEngine,
    Scanner,
    ScanPattern,
    TooManyHits,
    most_hits,
)
from tracesidecar.sanitize.prefilter import anchors
from tracesidecar.sanitize.prefilter.anchors import Anchor, HitRole
from tracesidecar.sanitize.prefilter.base64_runs import Base64Runs, is_packed_start
from tracesidecar.sanitize.prefilter.token_prefixes import BrokenTokens
from tracesidecar.sanitize.rules.catalogue import Rule
from tracesidecar.sanitize.streams import STREAM_SIGNS

_SETTLED = (HitRole.ENCODED, HitRole.SPLIT)


class Candidates:
    """The chunk databases; a hit's id is an index into `roles`."""

    def __init__(
        self, rules: Sequence[Rule], engine: ScanEngine, custom_names: Sequence[str] = ()
    ) -> None:
        self._begun = BrokenTokens(rules)
        kinds = [
            *anchors.rule_anchors(rules),
            *anchors.keyword_anchors(custom_names),
            *anchors.encoded_anchors(),
            *self._begun.anchors(),
            Anchor("delta", HitRole.STREAM, STREAM_SIGNS),
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
        self._unsettled = {
            i: role
            for i, role in enumerate(roles)
            if role in {HitRole.TOKEN_PREFIX, HitRole.PACKED, HitRole.STREAM}
        }
        self._settled = {role: len(roles) + i for i, role in enumerate(_SETTLED)}
        self.roles: tuple[HitRole, ...] = (*roles, *_SETTLED)

    def find_hits(self, data: bytes, streamed: list[int] | None = None) -> list[Hit]:
        """Return the hits in order; raise TooManyHits when there are too many to look at one by
        one.

        Where a piece of a streamed message may stand is added to `streamed`, in no order.
        """
        most = most_hits(len(data))
        found = self._anchors.find_hits(data, most)
        if self._numeric is not None:
            found += self._numeric.find_hits(data, most)
        found += self._base64.find_hits(data)
        if len(found) > HIT_LIMIT:
            raise TooManyHits
        if not self._unsettled.keys().isdisjoint([kind for _, kind in found]):
            found = self._settle(data, found, streamed)
        found.sort()
        return found

    def find_anchor_hits(self, data: bytes) -> list[Hit]:
        """Return only the hits of anchors that rules bring themselves, and of keywords."""
        return self._anchors.find_hits(data)

    def _settle(self, data: bytes, found: Sequence[Hit], streamed: list[int] | None) -> list[Hit]:
        """Replace the hits on mere beginnings by what they mean, by what stands around them."""
        hits: list[Hit] = []
        places: dict[HitRole, list[int]] = {
            HitRole.TOKEN_PREFIX: [],
            HitRole.PACKED: [],
            HitRole.STREAM: [],
        }
        for hit in found:
            role = self._unsettled.get(hit[1])
            if role is None:
                hits.append(hit)
            else:
                places[role].append(hit[0])
        hits += [
            (at, self._settled[role])
            for at, role in self._begun.broken(data, sorted(places[HitRole.TOKEN_PREFIX]))
        ]
        hits += [
            (at, self._settled[HitRole.ENCODED])
            for at in places[HitRole.PACKED]
            if is_packed_start(data, at)
        ]
        if streamed is not None:
            streamed += places[HitRole.STREAM]
        return hits


def _scanner(engine: ScanEngine, name: str, kinds: Sequence[Anchor], first: int) -> Scanner:
    return engine.compile(
        name,
        [
            ScanPattern(i, pattern)
            for i, kind in enumerate(kinds, first)
            for pattern in kind.patterns
        ],
    )
