"""The rule catalogue (rules.toml), and which of its rules a configuration enables."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize.options import RedactionOptions


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of rules.toml; the fields are explained there."""

    id: str
    category: Literal["secret", "pii"]
    default: Literal["on", "off"]
    confidence: Literal["high", "medium"]
    description: str
    regex: str
    scan: str = ""
    anchor: str = ""
    group: int = 0
    prefix: tuple[str, ...] = ()
    prefix_ci: bool = False
    condition: str = ""
    in_blob: bool = False
    min_entropy: float = 0.0
    positives: tuple[str, ...]
    negatives: tuple[str, ...]

    @property
    def prefilter(self) -> str:
        """The looser expression that decides whether the regex can match a text at all."""
        return self.scan or self.regex

    @property
    def has_shared_anchor(self) -> bool:
        """Return True if shared keyword or numeric anchors find the rule's lines in a chunk."""
        return self.anchor in {"keywords", "numeric"}

    @property
    def drops_left_boundary(self) -> bool:
        """Return True if only the regex checks the character to the left.

        The form that scans chunks does not, so such hits are confirmed first.
        """
        return bool(self.scan) and r"(?:\b|_|" in self.regex


class Vocabulary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The word lists of the key matcher."""

    strong: frozenset[str]
    glued: frozenset[str]
    key_prev: frozenset[str]
    key_neg_prev: frozenset[str]
    pass_prev: frozenset[str]
    pass_neg_prev: frozenset[str]
    secret_neg_prev: frozenset[str]
    token_neg_prev: frozenset[str]
    tokens_pos_prev: frozenset[str]
    tail_value: frozenset[str]
    tail_descriptor: frozenset[str]
    bool_prefix: frozenset[str]
    numeric: frozenset[str]
    exact: frozenset[str]
    vendors: frozenset[str]


class CatalogueMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version, and the character that keeps the examples from looking like secrets."""

    version: int
    example_joiner: str


class RuleCatalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of rules.toml."""

    meta: CatalogueMeta
    keys: Vocabulary
    rule: tuple[Rule, ...]

    def example(self, text: str) -> str:
        """Return an example as it would appear in a trace."""
        return text.replace(self.meta.example_joiner, "")


def catalogue_bytes() -> bytes:
    """Return the packaged rules.toml."""
    return resources.files("tracesidecar.sanitize.rules").joinpath("rules.toml").read_bytes()


@cache
def load_catalogue() -> RuleCatalogue:
    """Decode the packaged rules.toml, once."""
    return msgspec.toml.decode(catalogue_bytes(), type=RuleCatalogue)


def active_rules(catalogue: RuleCatalogue, options: RedactionOptions) -> tuple[Rule, ...]:
    """Return the rules that `options` enable, in catalogue order.

    Raise ConfigurationError for a name that is not a rule.
    """
    known = {rule.id: rule for rule in catalogue.rule}
    chosen = () if isinstance(options.pii, bool) else options.pii
    personal = [rule.id for rule in catalogue.rule if rule.category == "pii"]
    for name in chosen:
        if name not in personal:
            raise ConfigurationError(
                f'redaction.pii: "{name}" is not a rule for personal data; '
                f"{_nearest(name, personal)}"
            )
    for name in options.disable:
        if name not in known:
            raise ConfigurationError(
                f'redaction.disable: "{name}" is not a rule; {_nearest(name, list(known))}'
            )

    def is_active(rule: Rule) -> bool:
        if rule.id in options.disable:
            return False
        if rule.category == "pii":
            return rule.id in chosen or (options.pii is True and rule.default == "on")
        return rule.default == "on"

    return tuple(rule for rule in catalogue.rule if is_active(rule))


def list_disabled_secret_rules(
    catalogue: RuleCatalogue, options: RedactionOptions
) -> tuple[str, ...]:
    """Return the ids of the secret rules that `options` disable; each start logs them."""
    return tuple(
        rule.id
        for rule in catalogue.rule
        if rule.category == "secret" and rule.id in options.disable
    )


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f'the nearest is "{near[0]}"' if near else f"allowed are {', '.join(sorted(known))}"
