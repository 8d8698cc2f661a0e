"""Where in a chunk might a secret be, so that everything else need not be examined?"""

from __future__ import annotations

from tracesidecar.sanitize.prefilter.anchors import HitRole, key_name_pattern
from tracesidecar.sanitize.prefilter.candidates import Candidates, StreamSigns
from tracesidecar.sanitize.prefilter.token_prefixes import (
    BLOCK_RULES,
    block_starts,
    may_continue,
    token_prefixes_of,
)

__all__ = [
    "BLOCK_RULES",
    "Candidates",
    "HitRole",
    "StreamSigns",
    "block_starts",
    "key_name_pattern",
    "may_continue",
    "token_prefixes_of",
]
