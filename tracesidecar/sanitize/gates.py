"""The gates of single rules: what a proposed span must also fulfil before it is cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tracesidecar.sanitize import patterns, validators
from tracesidecar.sanitize.keys import KeyMatcher
from tracesidecar.sanitize.values import KeyClass, entropy, is_mixed, is_placeholder, is_secret
from tracesidecar.sanitize.wallets import is_wallet


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
        "public_ip": _is_ipv4,
        "ipv6": lambda proposal: validators.is_ipv6(proposal.value) and proposal.text[proposal.end : proposal.end + 1] != b":",
        "mac": lambda proposal: validators.is_mac(proposal.value),
        "crypto_wallet": lambda proposal: is_wallet(proposal.value),
        "authorization": _is_authorization,
        "sql_literal": _is_sql_literal,
        "flag_name": lambda proposal: _is_flag_secret(keys, proposal),
        "pair_name": lambda proposal: _is_pair_secret(keys, proposal),
        "compared": lambda proposal: _names_a_secret(keys, patterns.COMPARED_NAME, proposal) and not _is_label(keys, proposal.value),
        "named": lambda proposal: _is_named_literal(keys, proposal),
        "named_bytes": lambda proposal: _names_a_secret(keys, patterns.NAME_FIRST, proposal),
        "said": lambda proposal: _is_said(proposal.value),
        "vendor_key": lambda proposal: _is_vendor_key(proposal.value),
        "json_web_key": lambda proposal: patterns.KEY_TYPE.search(proposal.text) is not None,
        "kubernetes_secret": _is_kubernetes_secret,
    }


def _is_card(proposal: Proposal) -> bool:
    text, start, end = proposal.text, proposal.start, proposal.end
    # an all-digit tail of a UUID passes Luhn by chance
    return validators.is_luhn(proposal.value) and text[end : end + 1] != b"-" and text[max(0, start - 1) : start] != b"-"


def _is_authorization(proposal: Proposal) -> bool:
    credential = patterns.AUTHORIZATION_SCHEME.sub("", proposal.value.strip()).strip()
    return bool(credential) and not is_placeholder(credential)


def _stands_in_a_decimal(proposal: Proposal) -> bool:
    text, start, end = proposal.text, proposal.start, proposal.end
    follows = text[end : end + 1] == b"." and text[end + 1 : end + 2].isdigit()
    return follows or (start > 1 and text[start - 1 : start] == b"." and text[start - 2 : start - 1].isdigit())


def _is_ipv4(proposal: Proposal) -> bool:
    before = proposal.text[max(0, proposal.start - 24) : proposal.start]
    if _stands_in_a_decimal(proposal) or patterns.VERSION_BEFORE.search(before) is not None:
        return False
    return validators.is_public_ip(proposal.value) or patterns.NAMED_ADDRESS.search(before) is not None


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
    if flag == "secret" and patterns.BUILD_SECRET.match(proposal.value) is not None:  # docker build --secret id=npm,src=.npmrc
        return False
    return proposal.value not in _PROSE_AFTER_FLAG and is_secret(proposal.value, KeyClass.STRONG, quoted=False, operator="")


def _names_a_secret(keys: KeyMatcher, where: re.Pattern[bytes], proposal: Proposal) -> bool:
    name = where.search(proposal.match)
    return name is not None and keys.classify(name.group(1).decode()) is KeyClass.STRONG


def _is_label(keys: KeyMatcher, value: str) -> bool:
    return patterns.LABEL.fullmatch(value) is not None and any(keys.classify(word) is not None for word in patterns.LABEL_WORD.findall(value))


def _is_named_literal(keys: KeyMatcher, proposal: Proposal) -> bool:
    defined = patterns.DEFINED_NAME.match(proposal.match)
    is_defined = defined is not None
    name = defined or patterns.NAME_FIRST.match(proposal.match)
    if name is None:
        return False
    is_run = proposal.value.isalnum() or (is_defined and patterns.TOKEN_CHARACTERS.fullmatch(proposal.value) is not None)
    is_token = len(proposal.value) >= 16 and is_run and sum(c.isdigit() for c in proposal.value) >= 3
    key_class = keys.classify(name.group(1).decode())
    return (key_class is KeyClass.STRONG and (is_token or is_mixed(proposal.value))) or (key_class is KeyClass.WEAK and is_token)


def _is_said(value: str) -> bool:
    """Only what no word of a sentence looks like."""
    value = value.rstrip(".,:;!?)")
    is_mix = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return is_mix and len(value) >= 6 and "/" not in value and patterns.HOST.fullmatch(value) is None


def _is_vendor_key(value: str) -> bool:
    if len(value) in {32, 40, 64} and patterns.HEX.fullmatch(value) is not None:
        return len(set(value)) > 4
    return any(c.isdigit() for c in value) and any(c.isupper() for c in value) and any(c.islower() for c in value) and entropy(value) >= 3.5


def _is_kubernetes_secret(proposal: Proposal) -> bool:
    around = proposal.text[max(0, proposal.start - 4096) : proposal.end + 1024]
    return patterns.SECRET_KIND.search(around) is not None and b"{{" not in proposal.match and b"[REDACTED" not in proposal.match


def _is_pair_secret(keys: KeyMatcher, proposal: Proposal) -> bool:
    name = patterns.PAIR_NAME.match(proposal.match)
    key_class = keys.classify(name.group(1).decode()) if name else None
    return key_class is not None and is_secret(proposal.value, key_class)
