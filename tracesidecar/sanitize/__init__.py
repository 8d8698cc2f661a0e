"""Is a line valid JSON, does it hold a secret, and what remains of it?

Nothing read from a trace leaves the process without passing through a `Sanitizer`
(`tracesidecar.sanitize.sanitizer`). It is not exported here: every command that reads a
configuration imports this, and few of them redact. The pattern engines, Hyperscan and RE2, are
imported when a sanitizer is created.
"""

from __future__ import annotations

from tracesidecar.sanitize.budget import LineLimitExceeded, StepLimitExceeded
from tracesidecar.sanitize.clean_chunk import (
    complete_chunk,
    line_positions,
    reject_fragment,
    reject_unread_line,
)
from tracesidecar.sanitize.json_path import key_paths
from tracesidecar.sanitize.options import RedactionOptions, RedactionTest
from tracesidecar.sanitize.path_names import escape_unprintable, printable, redact_path
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules import (
    AllowedPaths,
    CustomRules,
    KeyMatcher,
    active_rules,
    list_disabled_secret_rules,
    load_catalogue,
)
from tracesidecar.sanitize.short_text import contains_any, redact_short_text

__all__ = [
    "AllowedPaths",
    "CustomRules",
    "KeyMatcher",
    "LineLimitExceeded",
    "RedactionOptions",
    "RedactionTest",
    "RejectionReason",
    "StepLimitExceeded",
    "active_rules",
    "complete_chunk",
    "contains_any",
    "escape_unprintable",
    "key_paths",
    "line_positions",
    "list_disabled_secret_rules",
    "load_catalogue",
    "printable",
    "redact_path",
    "redact_short_text",
    "reject_fragment",
    "reject_unread_line",
]
