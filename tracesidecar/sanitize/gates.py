"""The gates of single rules: what a proposed span must also fulfil before it is cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tracesidecar.sanitize import patterns, validators
from tracesidecar.sanitize.keys import KeyMatcher
from tracesidecar.sanitize.values import KeyClass, is_placeholder, is_secret


class Proposal(NamedTuple):
    """A span that a rule's regex proposes: `text[start:end]` is `value`, and `match` is all that the regex matched."""

    text: bytes
    start: int
    end: int
    value: str
    match: bytes


Gate = Callable[[Proposal], bool]
"""True: cut it."""

_PROSE = "is was in to for and or from with flag option value the a an"
_PROSE_AFTER_FLAG = frozenset(_PROSE.split())


def gates(keys: KeyMatcher) -> Mapping[str, Gate]:
    """Return the gates by the names that rules.toml uses."""
    return {
        "iban": lambda proposal: validators.is_iban(proposal.value),
        "nino": lambda proposal: validators.is_nino(proposal.value),
        "base64_userpass": lambda proposal: validators.is_base64_userpass(proposal.value),
        "email": lambda proposal: validators.is_personal_email(proposal.value),
        "payment_card": _is_card,
        "ssn": lambda proposal: validators.is_ssn(proposal.value) and not _stands_in_a_decimal(proposal),
        "phone": lambda proposal: validators.is_phone(proposal.value) and not _stands_in_a_decimal(proposal),
        "public_ip": lambda proposal: validators.is_public_ip(proposal.value) and not _stands_in_a_decimal(proposal),
        "authorization": lambda proposal: not is_placeholder(patterns.AUTHORIZATION_SCHEME.sub("", proposal.value).strip()),
        "sql_literal": _is_sql_literal,
        "flag_name": lambda proposal: _is_flag_secret(keys, proposal),
        "pair_name": lambda proposal: _is_pair_secret(keys, proposal),
    }


def _is_card(proposal: Proposal) -> bool:
    text, start, end = proposal.text, proposal.start, proposal.end
    # an all-digit tail of a UUID passes Luhn by chance
    return validators.is_luhn(proposal.value) and text[end : end + 1] != b"-" and text[max(0, start - 1) : start] != b"-"


def _stands_in_a_decimal(proposal: Proposal) -> bool:
    text, start, end = proposal.text, proposal.start, proposal.end
    follows = text[end : end + 1] == b"." and text[end + 1 : end + 2].isdigit()
    return follows or (start > 1 and text[start - 1 : start] == b"." and text[start - 2 : start - 1].isdigit())


def _is_sql_literal(proposal: Proposal) -> bool:
    text, start = proposal.text, proposal.start
    if text[max(0, start - 1) : start] in {b"'", b'"'}:
        return True
    value = text[start : proposal.end]
    return patterns.SQL_WORD.fullmatch(value) is None and patterns.SQL_VERB.search(proposal.match + text[max(0, start - 260) : start]) is not None


def _is_flag_secret(keys: KeyMatcher, proposal: Proposal) -> bool:
    name = patterns.FLAG_NAME.match(proposal.match)
    flag = name.group(1).decode().lower() if name else ""
    if flag not in {"pass", "passin", "passout"} and keys.classify(flag) is None:
        return False
    return proposal.value not in _PROSE_AFTER_FLAG and is_secret(proposal.value, KeyClass.STRONG, quoted=False, operator="")


def _is_pair_secret(keys: KeyMatcher, proposal: Proposal) -> bool:
    name = patterns.PAIR_NAME.match(proposal.match)
    key_class = keys.classify(name.group(1).decode()) if name else None
    return key_class is not None and is_secret(proposal.value, key_class)
