"""How many patterns are run over many bytes in linear time: by Hyperscan, or by RE2 alone.

The engines themselves are loaded by `choose_engine`, RE2 when the first pattern is compiled.
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
from tracesidecar.sanitize.engine.re2_patterns import Re2Match, Re2Pattern, compile_pattern

__all__ = [
    "HIT_LIMIT",
    "Hit",
    "Re2Match",
    "Re2Pattern",
    "ScanEngine",
    "ScanPattern",
    "Scanner",
    "TooManyHits",
    "choose_engine",
    "compile_pattern",
    "hit_limit_for",
]
