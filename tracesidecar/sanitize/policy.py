"""What to redact and how to mark it: the options, validated and compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.rules import (
    NO_CUSTOM_RULES,
    CustomRules,
    Rule,
    RuleCatalogue,
    Vocabulary,
    active_rules,
)


class RedactionPolicy(NamedTuple):
    """The rules that apply and the exceptions from them."""

    rules: Sequence[Rule]
    vocabulary: Vocabulary
    custom_rules: CustomRules = NO_CUSTOM_RULES
    key_names: Sequence[str] = ()
    allowed: frozenset[str] = frozenset()
    hmac_key: str | None = None

    @classmethod
    def from_options(cls, catalogue: RuleCatalogue, options: RedactionOptions) -> RedactionPolicy:
        """Build the policy; raise ConfigurationError for options that are not valid."""
        return cls(
            rules=active_rules(catalogue, options),
            vocabulary=catalogue.keys,
            custom_rules=CustomRules(options.rule, taken=(rule.id for rule in catalogue.rule)),
            key_names=options.key_names,
            allowed=frozenset(options.allow),
            hmac_key=options.hmac_key,
        )
