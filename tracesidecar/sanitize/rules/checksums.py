"""Checks that distinguish real numbers and addresses of a kind from chance characters."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from hashlib import sha256

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.rules.value_checks import count_digits

_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 "
    "EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 "
    "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 "
    "NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 "
    "TR26 UA29 VA22 VG24 XK20"
)
IBAN_LENGTH = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}
"""The length of an IBAN by country, from the SWIFT IBAN registry."""

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CHECKSUMS = frozenset({1, 0x2BC830A3})
"""The checksum constants of Bech32 (BIP 173) and Bech32m (BIP 350)."""

_SPECIMEN_SSNS = frozenset({"123-45-6789", "078-05-1120"})


def is_luhn(text: str) -> bool:
    """Return True for 12 to 19 digits with a valid Luhn check digit that are not all the same."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 12 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Return True if the text begins with an IBAN of its country's length and valid check digits.

    The check digits are those of ISO 7064, mod 97-10; characters after the IBAN are ignored.
    """
    compact = re.sub(r"[ -]", "", text).upper()
    length = IBAN_LENGTH.get(compact[:2])
    if length is None or len(compact) < length:
        return False
    turned = compact[4:length] + compact[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def is_ssn(text: str) -> bool:
    """Return True for an area, group and serial that may be issued, with one separator twice."""
    digits = re.sub(r"[-. ]", "", text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if (
        (len(text) == 11 and text[3] != text[6])
        or text in _SPECIMEN_SSNS
        or len(set(text) - set("-. ")) == 1
    ):
        return False
    return area not in {"000", "666"} and group != "00" and serial != "0000"


def is_public_ip(text: str) -> bool:
    """Return True for an address that is routed on the internet."""
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def is_ipv6(text: str) -> bool:
    """Return True for any address except the loopback and the unspecified address.

    Link-local addresses count because they may contain the hardware address.
    """
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def is_mac(text: str) -> bool:
    """Return True unless all digits are the same, as in the broadcast address."""
    return len(set(text.lower()) - set(":-.")) > 1


def is_phone(text: str) -> bool:
    """Return True for 8 to 15 digits (E.164 allows 15)."""
    return 8 <= count_digits(text) <= 15


def is_nino(text: str) -> bool:
    """Return True unless the prefix is one of those that are never issued."""
    return text[:2].upper() not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}


def is_base64_userpass(text: str) -> bool:
    """Return True if the text decodes to printable `user:password`."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return ":" in decoded and decoded.isprintable()


def is_personal_email(text: str) -> bool:
    """Return True unless it is `git@host` or a file name such as `icon@2x.png`."""
    local, _, domain = text.partition("@")
    return local != "git" and patterns.FILE_SUFFIX.search(domain) is None


def is_wallet(text: str) -> bool:
    """Return True for a Bitcoin address with a valid checksum: Base58Check, Bech32 or Bech32m."""
    return _is_bech32(text.lower()) if text[:3].lower() == "bc1" else _is_base58check(text)


def _is_base58check(text: str) -> bool:
    number = 0
    for character in text:
        number = number * 58 + _BASE58.index(character)
    if number.bit_length() > 200:
        return False
    raw = number.to_bytes(25, "big")
    return sha256(sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]


def _is_bech32(text: str) -> bool:
    prefix, _, data = text.rpartition("1")
    values = [
        *(ord(c) >> 5 for c in prefix),
        0,
        *(ord(c) & 31 for c in prefix),
        *(_BECH32.index(c) for c in data),
    ]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_BECH32_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    return check in _BECH32_CHECKSUMS
