"""Is a line valid JSON, does it hold a secret, and what remains of it?

Nothing read from a trace leaves the process without passing through a `Sanitizer`. Importing
this package does not load the pattern engines: Hyperscan and RE2 are imported when a sanitizer
is created.
"""

from __future__ import annotations

from tracesidecar.sanitize.json_path import key_paths
from tracesidecar.sanitize.options import RedactionOptions, RedactionTest
from tracesidecar.sanitize.rejections import RejectionReason
from tracesidecar.sanitize.rules.allowlist import AllowedPaths
from tracesidecar.sanitize.rules.catalogue import active_rules, load_catalogue
from tracesidecar.sanitize.rules.custom_rules import CustomRules
from tracesidecar.sanitize.rules.key_names import KeyMatcher
from tracesidecar.sanitize.sanitizer import Sanitizer

__all__ = [
    "AllowedPaths",
    "CustomRules",
    "KeyMatcher",
    "RedactionOptions",
    "RedactionTest",
    "RejectionReason",
    "Sanitizer",
    "active_rules",
    "key_paths",
    "load_catalogue",
]
