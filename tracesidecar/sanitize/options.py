"""What the `[redaction]` table of a configuration may say."""

from __future__ import annotations

import msgspec

from tracesidecar.units import Secret


class CustomRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule of the user: `regex` (RE2 syntax) or `keyword` (a word, whatever its case), matched
    against each string and each key.

    `group` is the part of the regex to cut (0: all of it).
    """

    id: str
    regex: str = ""
    keyword: str = ""
    group: int = 0


class RedactionTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line (or any text) and what must become of it; `check-config` runs these."""

    input: str
    expected: str


class RedactionOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Secrets are cut unless `disable` names their rule; personal data is cut only when `pii` says
    so.

    `pii = true` means all PII rules, a list names the rules. `allow` holds exact values that are
    never cut, and places such as `$.deploy.key` or `$.steps[*].token`; `key_names` further names of
    credentials (as words: `internal_pass_code` also means `internalPassCode`).
    """

    pii: bool | tuple[str, ...] = False
    disable: tuple[str, ...] = ()
    hmac_key: Secret | None = None
    allow: tuple[str, ...] = ()
    key_names: tuple[str, ...] = ()
    rule: tuple[CustomRule, ...] = ()
    test: tuple[RedactionTest, ...] = ()
