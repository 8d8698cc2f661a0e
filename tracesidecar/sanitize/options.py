"""The options of the `[redaction]` table of a configuration."""

from __future__ import annotations

import msgspec

from tracesidecar.units import Secret


class CustomRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule of the user, matched against each string and each key.

    Either `regex` (RE2 syntax) or `keyword` (a word in any case) is given. `group` is the part of
    the regex to redact (0: the whole match).
    """

    id: str
    regex: str = ""
    keyword: str = ""
    group: int = 0


class RedactionTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line (or any text) and its expected redaction; `check-config` runs these tests."""

    input: str
    expected: str


class RedactionOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Redact secrets unless `disable` names their rule; personal data only if `pii` says so.

    `pii = true` enables the PII rules that are on by default, a list enables the rules it names.
    `allow` holds exact values that are never redacted, and paths such as `$.deploy.key` or
    `$.steps[*].token`. `key_names` adds names of credentials, matched by their words:
    `internal_pass_code` also matches `internalPassCode`.
    """

    pii: bool | tuple[str, ...] = False
    disable: tuple[str, ...] = ()
    hmac_key: Secret | None = None
    allow: tuple[str, ...] = ()
    key_names: tuple[str, ...] = ()
    rule: tuple[CustomRule, ...] = ()
    test: tuple[RedactionTest, ...] = ()
