"""How are hundreds of patterns run over every byte in linear time?

By Hyperscan where its wheel is available, otherwise by RE2. Importing this package loads neither:
`choose_engine` loads Hyperscan, and the first compiled pattern loads RE2.
"""

from __future__ import annotations

from tracesidecar.sanitize.engine.choose import choose_engine
from tracesidecar.sanitize.engine.interface import (
    HIT_LIMIT,
    Hit,
    ScanEngine,
    Scanner,
    ScanPattern,
    TooManyHits,
    hit_limit_for,
)
from tracesidecar.sanitize.engine.re2_patterns import Re2Pattern, compile_pattern
from tracesidecar.sanitize.engine.windows import find_first_hits, find_hits

__all__ = [
    "HIT_LIMIT",
    "Hit",
    "Re2Pattern",
    "ScanEngine",
    "ScanPattern",
    "Scanner",
    "TooManyHits",
    "choose_engine",
    "compile_pattern",
    "find_first_hits",
    "find_hits",
    "hit_limit_for",
]
