"""What counts as a secret?

The catalogue of rules, names of keys, checks of values, custom rules and the allow-list decide.
"""

from __future__ import annotations

from tracesidecar.sanitize.rules import checksums
from tracesidecar.sanitize.rules.allowlist import AllowedPaths
from tracesidecar.sanitize.rules.catalogue import (
    Rule,
    RuleCatalogue,
    Shape,
    Vocabulary,
    active_rules,
    catalogue_bytes,
    list_disabled_secret_rules,
    load_catalogue,
    load_shapes,
)
from tracesidecar.sanitize.rules.custom_rules import NO_CUSTOM_RULES, CustomRules
from tracesidecar.sanitize.rules.key_names import KeyMatcher, words_of
from tracesidecar.sanitize.rules.stream_formats import Codec, StreamFormat, load_stream_formats
from tracesidecar.sanitize.rules.value_checks import (
    KeyClass,
    count_digits,
    entropy,
    has_both_cases,
    has_digit,
    has_letter,
    has_random_part,
    is_class_name,
    is_example,
    is_identifier_chain,
    is_mixed,
    is_placeholder,
    is_secret,
)

__all__ = [
    "NO_CUSTOM_RULES",
    "AllowedPaths",
    "Codec",
    "CustomRules",
    "KeyClass",
    "KeyMatcher",
    "Rule",
    "RuleCatalogue",
    "Shape",
    "StreamFormat",
    "Vocabulary",
    "active_rules",
    "catalogue_bytes",
    "checksums",
    "count_digits",
    "entropy",
    "has_both_cases",
    "has_digit",
    "has_letter",
    "has_random_part",
    "is_class_name",
    "is_example",
    "is_identifier_chain",
    "is_mixed",
    "is_placeholder",
    "is_secret",
    "list_disabled_secret_rules",
    "load_catalogue",
    "load_shapes",
    "load_stream_formats",
    "words_of",
]
