"""The conditions of single rules: what else must be true of a span before it is redacted."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.rules import (
    KeyClass,
    KeyMatcher,
    checksums,
    count_digits,
    entropy,
    has_both_cases,
    has_digit,
    has_letter,
    is_class_name,
    is_identifier_chain,
    is_mixed,
    is_placeholder,
    is_secret,
    words_of,
)


class Surroundings:
    """Where patterns match in a text, to tell what is near a span; each searches it only once."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._starts: dict[re.Pattern[bytes], list[int]] = {}

    def has_within(self, pattern: re.Pattern[bytes], start: int, end: int) -> bool:
        """Return True if a match of the pattern begins in [start, end)."""
        starts = self._starts.get(pattern)
        if starts is None:
            starts = [match.start() for match in pattern.finditer(self._text)]
            self._starts[pattern] = starts
        first = bisect_left(starts, start)
        return first < len(starts) and starts[first] < end


class Proposal(NamedTuple):
    """A span that a regex proposes: text[start:end] is `value`, `match` is the whole match."""

    text: bytes
    start: int
    end: int
    value: str
    match: bytes
    surroundings: Surroundings


RuleCondition = Callable[[Proposal], bool]
"""Return True if the proposed span is to be redacted."""

_LARGEST_WEB_KEY = 16 << 10
"""All members of a JSON Web Key are within so many bytes."""
_PUBLIC = frozenset({"pk", "pub", "public", "publishable"})
_PROSE = "is was in to for and or from with flag option value the a an parameter argument can must"
_PROSE_AFTER_FLAG = frozenset(_PROSE.split())


def rule_conditions(keys: KeyMatcher) -> Mapping[str, RuleCondition]:
    """Return the conditions by the names that rules.toml uses."""
    return {
        "iban": lambda proposal: checksums.is_iban(proposal.value),
        "nino": lambda proposal: checksums.is_nino(proposal.value),
        "base64_userpass": lambda proposal: checksums.is_base64_userpass(proposal.value),
        "email": lambda proposal: (
            checksums.is_personal_email(proposal.value)
            and patterns.REMOTE_PATH.match(proposal.text, proposal.end) is None
        ),
        "payment_card": _is_card,
        "ssn": lambda proposal: checksums.is_ssn(proposal.value) and not _is_in_decimal(proposal),
        "phone": lambda proposal: (
            checksums.is_phone(proposal.value) and not _is_in_decimal(proposal)
        ),
        "public_ip": _is_ipv4,
        "ipv6": lambda proposal: (
            checksums.is_ipv6(proposal.value)
            and proposal.text[proposal.end : proposal.end + 1] != b":"
        ),
        "mac": lambda proposal: checksums.is_mac(proposal.value),
        "crypto_wallet": lambda proposal: checksums.is_wallet(proposal.value),
        "authorization": _is_authorization,
        "sql_literal": _is_sql_literal,
        "flag_name": lambda proposal: _is_flag_secret(keys, proposal),
        "pair_name": lambda proposal: _is_pair_secret(keys, proposal),
        "compared_literal": lambda proposal: (
            _names_secret(keys, patterns.COMPARED_NAME, proposal)
            and not _is_label(keys, proposal.value)
        ),
        "named_literal": lambda proposal: _is_named_literal(keys, proposal),
        "named_byte_array": lambda proposal: _names_secret(keys, patterns.NAME_FIRST, proposal),
        "sentence_password": lambda proposal: _is_sentence_password(proposal.value),
        "sentence_token": lambda proposal: _is_said_token(keys, proposal),
        "random_base64": lambda proposal: _is_random(proposal.value),
        "not_a_name": lambda proposal: not _is_name(proposal.value),
        "vendor_body": lambda proposal: _is_vendor_body(proposal.value),
        "not_a_word": lambda proposal: _is_not_a_word(proposal.value),
        "markup_name": lambda proposal: _is_markup_secret(keys, proposal),
        "declared_default": lambda proposal: _is_declared_default(keys, proposal),
        "vendor_key": lambda proposal: _is_vendor_key(proposal.value),
        "json_web_key": lambda proposal: proposal.surroundings.has_within(
            patterns.KEY_TYPE, proposal.start - _LARGEST_WEB_KEY, proposal.end + _LARGEST_WEB_KEY
        ),
        "kubernetes_secret": _is_kubernetes_secret,
    }


def _is_card(proposal: Proposal) -> bool:
    text, start, end = proposal.text, proposal.start, proposal.end
    # the all-digit end of a UUID may pass the Luhn check by chance
    return (
        checksums.is_luhn(proposal.value)
        and text[end : end + 1] != b"-"
        and text[max(0, start - 1) : start] != b"-"
    )


def _is_authorization(proposal: Proposal) -> bool:
    credential = patterns.AUTHORIZATION_SCHEME.sub("", proposal.value.strip()).strip()
    if patterns.PLAIN_ADDRESS.match(credential) is not None:
        return False
    is_sentence = " " in credential and not has_digit(credential)
    before = proposal.text[max(0, proposal.start - 32) : proposal.start]
    is_name = patterns.IN_CODE_BEFORE.search(before) is not None and (
        patterns.NAME_AND_CLOSERS.fullmatch(credential) is not None
        or patterns.CALL_OR_INDEX.match(credential) is not None
    )
    return bool(credential) and not (is_placeholder(credential) or is_sentence or is_name)


def _is_in_decimal(proposal: Proposal) -> bool:
    text, start, end = proposal.text, proposal.start, proposal.end
    follows = text[end : end + 1] == b"." and text[end + 1 : end + 2].isdigit()
    return follows or (
        start > 1 and text[start - 1 : start] == b"." and text[start - 2 : start - 1].isdigit()
    )


def _is_ipv4(proposal: Proposal) -> bool:
    before = proposal.text[max(0, proposal.start - 24) : proposal.start]
    if _is_in_decimal(proposal) or patterns.VERSION_BEFORE.search(before) is not None:
        return False
    return (
        checksums.is_public_ip(proposal.value) or patterns.NAMED_ADDRESS.search(before) is not None
    )


def _is_sql_literal(proposal: Proposal) -> bool:
    text, start = proposal.text, proposal.start
    if not any(map(str.isalnum, proposal.value)):  # the quote ended a string
        return False
    if text[max(0, start - 1) : start] in {b"'", b'"'}:
        return True
    value = text[start : proposal.end]
    if patterns.SQL_WORD.fullmatch(value) is not None:
        return False
    # "the process identified by PID." is a sentence
    return (
        patterns.SQL_VERB.search(text, max(0, start - 260), start) is not None
        and patterns.NAME_IN_SENTENCE.fullmatch(value) is None
    ) or _is_sentence_password(proposal.value)


def _is_flag_secret(keys: KeyMatcher, proposal: Proposal) -> bool:
    name = patterns.FLAG_NAME.match(proposal.match)
    flag = name.group(1).decode().lower() if name else ""
    if flag not in {"pass", "passin", "passout"} and keys.classify(flag) is None:
        return False
    # docker build --secret id=npm,src=.npmrc
    if flag == "secret" and patterns.BUILD_SECRET.match(proposal.value) is not None:
        return False
    if proposal.value.startswith(patterns.FILE_SCHEMES):
        return False
    if words_of(proposal.value) == words_of(flag):  # --client-secret client_secret
        return False
    return proposal.value not in _PROSE_AFTER_FLAG and is_secret(
        proposal.value, KeyClass.STRONG, quoted=False, operator=""
    )


def _names_secret(keys: KeyMatcher, where: re.Pattern[bytes], proposal: Proposal) -> bool:
    name = where.search(proposal.match)
    return name is not None and keys.classify(name.group(1).decode()) is KeyClass.STRONG


def _is_label(keys: KeyMatcher, value: str) -> bool:
    return patterns.LABEL.fullmatch(value) is not None and any(
        keys.classify(word) is not None for word in patterns.LABEL_WORD.findall(value)
    )


def _is_named_literal(keys: KeyMatcher, proposal: Proposal) -> bool:
    defined = patterns.DEFINED_NAME.match(proposal.match)
    is_defined = defined is not None
    name = defined or patterns.NAME_FIRST.match(proposal.match)
    if name is None:
        return False
    # a macro for a longer name, or for a flag
    if proposal.value.endswith(name.group(1).decode()) or patterns.FLAG_VALUE.fullmatch(
        proposal.value
    ):
        return False
    is_run = proposal.value.isalnum() or (
        is_defined and patterns.TOKEN_CHARACTERS.fullmatch(proposal.value) is not None
    )
    digits = count_digits(proposal.value)
    is_token = len(proposal.value) >= 16 and is_run and digits >= 3
    is_chosen = (
        len(proposal.value) >= 8 and proposal.value.isalnum() and 2 <= digits < len(proposal.value)
    )
    key_class = keys.classify(name.group(1).decode())
    return (
        key_class is KeyClass.STRONG and (is_token or is_chosen or is_mixed(proposal.value))
    ) or (key_class is KeyClass.WEAK and is_token)


def _is_sentence_password(value: str) -> bool:
    """Return True for letters mixed with digits, as no ordinary word of a sentence has them."""
    value = value.rstrip(".,:;!?)")
    is_mix = has_digit(value) and has_letter(value)
    return (
        is_mix
        and len(value) >= 6
        and "/" not in value
        and patterns.TECHNICAL_WORD.match(value) is None
        and patterns.HOST.fullmatch(value) is None
    )


def _is_not_a_word(value: str) -> bool:
    """Return True for letters with digits or signs, unlike a placeholder or a translation key."""
    if value.isalnum():
        return has_digit(value) and has_letter(value)
    return is_mixed(value) and not is_identifier_chain(value)


def _is_token(value: str) -> bool:
    """Return True for random characters.

    These are a digest, a UUID, or digits mixed with letters of both cases or many of one case.
    """
    if patterns.UUID.fullmatch(value) is not None or (
        len(value) >= 24 and patterns.HEX.fullmatch(value) is not None
    ):
        return len(set(value)) > 4
    digits = count_digits(value)
    is_both = has_both_cases(value)
    return (
        digits >= 2
        and (is_both or len(value) >= 20)
        and digits < len(value)
        and entropy(value) >= 3.2
        and not _is_compound(value)
        and not is_class_name(value)
    )


def _is_said_token(keys: KeyMatcher, proposal: Proposal) -> bool:
    # `--lock-token ...`: the whole name says that it is none
    name = patterns.NAME_BEFORE.search(proposal.text, max(0, proposal.start - 80), proposal.start)
    if name is not None and keys.classify(name.group(1).decode()) is None:
        return False
    value = proposal.value.rstrip(".=")
    return _is_token(value) and not is_identifier_chain(value)


def _is_random(value: str) -> bool:
    """Return True for base64 of random bytes, except public keys.

    It has more digits among letters of both cases than names do.
    """
    kinds = (
        count_digits(value),
        sum(c.isupper() for c in value),
        sum(c.islower() for c in value),
    )
    return (
        min(kinds) >= 2
        and entropy(value) >= 4.0
        and not value.startswith(("AAAA", "MIIBIj", "MIICIj", "MFkw", "MCow"))
        and not _is_compound(value)
    )


def _is_compound(value: str) -> bool:
    """Return True for names whose parts only end in digits: `FactoryBean22`, `encoded-v22`."""
    return all(
        part.rstrip("0123456789").isalpha() or not part
        for part in patterns.NOT_WORD_CHARACTER.split(value)
    )


def _is_markup_secret(keys: KeyMatcher, proposal: Proposal) -> bool:
    name = patterns.MARKUP_NAME.search(proposal.match)
    key_class = keys.classify((name.group(1) or name.group(2)).decode()) if name else None
    return (
        key_class is not None
        and not _is_label(keys, proposal.value)
        and is_secret(proposal.value, key_class)
        and (key_class is not KeyClass.STRONG or _is_not_a_word(proposal.value))
    )


def _is_declared_default(keys: KeyMatcher, proposal: Proposal) -> bool:
    name = patterns.QUOTED_NAME.search(proposal.match)
    key_class = keys.classify(name.group(1).decode()) if name else None
    if key_class is KeyClass.STRONG:
        return _is_not_a_word(proposal.value) or (
            len(proposal.value) >= 6 and proposal.value.isupper()
        )
    return key_class is not None and _is_token(proposal.value)


def _is_vendor_key(value: str) -> bool:
    if len(value) in {32, 40, 64} and patterns.HEX.fullmatch(value) is not None:
        return len(set(value)) > 4
    return has_digit(value) and has_both_cases(value) and entropy(value) >= 3.5


def _is_name(value: str) -> bool:
    """Return True for words with signs between them, as in names of code or files."""
    return patterns.WORDS_JOINED.fullmatch(value) is not None


def _is_vendor_body(value: str) -> bool:
    """Return True for 20 characters with both cases and digits at the end, or 32 of hex, no name.

    What is before them is a name: `acme_live_`.
    """
    pieces = patterns.SIGN_BETWEEN.split(value)
    if pieces[0].lower() in _PUBLIC:
        return False
    if all(patterns.HEX.fullmatch(piece) is not None for piece in pieces[2:]):
        return sum(map(len, pieces[2:])) >= 32 and len(set(pieces[-1])) > 4
    body = "".join(pieces[2:])
    return (
        len(body) >= 20
        and has_digit(body)
        and has_both_cases(body)
        and len(patterns.NAME_PIECE.sub("", body)) * 2 >= len(body)
        and entropy(body) >= 3.5
    )


def _is_kubernetes_secret(proposal: Proposal) -> bool:
    return (
        proposal.surroundings.has_within(
            patterns.SECRET_KIND, proposal.start - 4096, proposal.end + 1024
        )
        and b"{{" not in proposal.match
        and b"[REDACTED" not in proposal.match
    )


def _is_pair_secret(keys: KeyMatcher, proposal: Proposal) -> bool:
    name = patterns.PAIR_NAME.match(proposal.match)
    key_class = keys.classify(name.group(1).decode()) if name else None
    return key_class is not None and is_secret(proposal.value, key_class)
