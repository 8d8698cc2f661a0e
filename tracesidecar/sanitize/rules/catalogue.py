"""The rule catalogue (rules.toml, shapes.toml), and which rules a configuration enables."""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.rules.stream_formats import read_stream_table

SHAPES_RULE = "vendor-token"
"""The rule for the shapes of shapes.toml that no other rule redacts."""
_LEFT_BOUNDARY = (
    r"(?:\b|_|\\[nrtbf]|\\u00[0-9a-fA-F]{2}|\\x[0-9a-fA-F]{2}|%[0-9A-Fa-f]{2}|\[[0-9;]{1,8}m)"
)
_OPEN_END = re.compile(r"(\{[0-9]+),[0-9]*\}\Z")


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """One row of shapes.toml; the columns are explained there."""

    vendor: str
    regex: str
    source: str
    rule: str

    @property
    def shortest(self) -> str:
        """The expression for the shortest token of this shape, to find where one may be."""
        return _OPEN_END.sub(r"\1}", self.regex.removesuffix("={0,2}"))


class _Shapes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    shape: tuple[Shape, ...]


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
    anchors: tuple[str, ...] = ()
    group: int = 0
    prefix: tuple[str, ...] = ()
    prefix_ci: bool = False
    condition: str = ""
    in_blob: bool = False
    filled_too: bool = False
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
    def is_one_token(self) -> bool:
        """Return True if the rule redacts a token that has a prefix of its own, and no more."""
        return (
            self.category == "secret"
            and self.confidence == "high"
            and not self.has_shared_anchor
            and not self.in_blob
            and not self.filled_too
            and "[^" not in self.regex
        )

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
    """Return the packaged rules.toml, shapes.toml and streams.toml."""
    return _read("rules.toml") + _read("shapes.toml") + read_stream_table()


@cache
def load_catalogue() -> RuleCatalogue:
    """Decode the packaged rules.toml and shapes.toml, once."""
    catalogue = msgspec.toml.decode(_read("rules.toml"), type=RuleCatalogue)
    return msgspec.structs.replace(
        catalogue,
        rule=tuple(
            _with_shapes(rule, load_shapes()) if rule.id == SHAPES_RULE else rule
            for rule in catalogue.rule
        ),
    )


@cache
def load_shapes() -> tuple[Shape, ...]:
    """Decode the packaged shapes.toml, once."""
    return msgspec.toml.decode(_read("shapes.toml"), type=_Shapes).shape


def _read(name: str) -> bytes:
    return resources.files("tracesidecar.sanitize.rules").joinpath(name).read_bytes()


def _with_shapes(rule: Rule, shapes: tuple[Shape, ...]) -> Rule:
    own = [shape for shape in shapes if not shape.rule]
    return msgspec.structs.replace(
        rule,
        regex=f"{_LEFT_BOUNDARY}({'|'.join(shape.regex for shape in own)})",
        scan="|".join(shape.shortest for shape in own),
        anchors=tuple(shape.shortest for shape in own),
    )


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
