"""Whether a text is a Bitcoin address: Base58Check (legacy) or Bech32 and Bech32m (BIP 173, BIP
350).
"""

from __future__ import annotations

from hashlib import sha256

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUMS = frozenset({1, 0x2BC830A3})
"""Of Bech32 and of Bech32m."""


def is_wallet(text: str) -> bool:
    """True when the checksum is right."""
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
        for bit, generator in enumerate(_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    return check in _CHECKSUMS
