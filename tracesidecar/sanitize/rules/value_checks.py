"""Is the value under a sensitive key a secret, or a placeholder, code, prose or a count?"""

from __future__ import annotations

from enum import Enum
from math import log2

from tracesidecar.sanitize import patterns

_CODE_WORDS = (
    "await new this self async function lambda return typeof yield not if else for in is and or as "
    "value val command text str int bytes bool float dict list object string number boolean any"
    "from import def class const let var self. cls"
)
CODE_WORDS = frozenset(_CODE_WORDS.split())

_LABEL_WORDS = (
    "password,passwort,kennwort,mot de passe,contraseña,senha,wachtwoord,пароль,"
    "密码,密碼,パスワード,비밀번호,token,api key,secret"
)
_LABELS = frozenset(_LABEL_WORDS.split(","))
"""Labels of a credential's input field on a screen."""


_FILLERS = "xX*.0-_/+=:"
_SHORTEST_FILLED = 8


class KeyClass(Enum):
    """How strongly a key names a credential, which decides what values under it are redacted.

    STRONG: anything but a placeholder. WEAK: what looks like a token. MAYBE: one long mixed token.
    """

    STRONG = "strong"
    WEAK = "weak"
    MAYBE = "maybe"


_COUNT_TIMES_LOG2 = [0.0, *(k * log2(k) for k in range(1, 512))]


def entropy(text: str) -> float:
    """Return the Shannon entropy in bits per character."""
    size = len(text)
    if not size:
        return 0.0
    counts = map(text.count, set(text))
    if size < len(_COUNT_TIMES_LOG2):
        return log2(size) - sum(map(_COUNT_TIMES_LOG2.__getitem__, counts)) / size
    return log2(size) - sum(k * log2(k) for k in counts) / size


def count_digits(text: str) -> int:
    """Return how many of the characters are digits."""
    return sum(map(str.isdigit, text))


def has_digit(text: str) -> bool:
    """Return True if one of the characters is a digit."""
    return any(map(str.isdigit, text))


def has_letter(text: str) -> bool:
    """Return True if one of the characters is a letter."""
    return any(map(str.isalpha, text))


def has_both_cases(text: str) -> bool:
    """Return True for a text with capitals and small letters."""
    return any(map(str.isupper, text)) and any(map(str.islower, text))


def is_identifier_chain(text: str) -> bool:
    """Return True for names in code such as `settings.api_key` or `Token::new()`.

    No part of it may look like a token, as in `pat.<22 mixed characters>.<24 more>`.
    """
    return patterns.IDENTIFIER_CHAIN.fullmatch(text) is not None and not has_random_part(text)


def has_random_part(text: str) -> bool:
    """Return True if a part of the text is long and has digits, as no word has."""
    return any(
        len(part) >= 16 and count_digits(part) >= 2 and not is_class_name(part)
        for part in patterns.NOT_WORD_CHARACTER.split(text)
    )


def is_class_name(text: str) -> bool:
    """Return True for a name that ends as classes do: `MLKEM768PrivateKey`."""
    return patterns.CLASS_NAME.fullmatch(text) is not None


def is_mixed(text: str) -> bool:
    """Return True for letters mixed with digits or signs as words and names in code are not."""
    if (
        len(text) < 6
        or patterns.BLANK.search(text) is not None
        or patterns.SLUG.fullmatch(text) is not None
    ):
        return False
    return has_letter(text) and patterns.LETTERS_ONLY.fullmatch(text) is None


def is_placeholder(text: str) -> bool:
    """Return True for `***`, `<your-key>`, `$NAME`, `null`, an earlier redaction and the like."""
    return patterns.PLACEHOLDER.match(text) is not None


def is_example(text: str) -> bool:
    """Return True for a token of documentation.

    Examples: `AKIA…EXAMPLE`, `sk_live_your_key_here`, or a prefix followed by nothing but x or 0.
    """
    filled = len(text) - len(text.rstrip(_FILLERS))
    return (filled >= _SHORTEST_FILLED and (2 * filled >= len(text) or filled >= 16)) or (
        patterns.EXAMPLE.search(text) is not None
    )


def is_secret(value: str, key_class: KeyClass, *, quoted: bool = True, operator: str = "=") -> bool:
    """Judge a value under a key of this class.

    `quoted` means that it is a whole string: a JSON value, or text between quotes. `operator` is
    what stands between the key and a value that is not quoted.
    """
    text = value.strip()
    if not text or is_placeholder(text) or text.casefold() in _LABELS or text.startswith("arn:aws"):
        return False
    if len(text) < 3 and not text.isalnum() and not text.isascii():  # "fortune_cookie": an emoji
        return False
    if key_class is KeyClass.MAYBE:
        return _is_one_long_token(text)
    if key_class is KeyClass.STRONG:
        return quoted or _is_more_than_code(text, operator)
    return _looks_random(text)


def _is_one_long_token(text: str) -> bool:
    if len(text) < 24 and _is_short_token(text):
        return True
    if (
        len(text) < 24
        or patterns.TOKEN_CHARACTERS.fullmatch(text) is None
        or patterns.UUID.fullmatch(text) is not None
    ):
        return False
    # words run together: `ApplicationSettingsForWindow2`
    if len(patterns.NAME_PIECE.sub("", text)) * 4 < len(text):
        return False
    return has_digit(text) and has_letter(text) and entropy(text) >= 3.0


def _is_short_token(text: str) -> bool:
    """Return True for letters of both cases mixed with digits as in no name: `xq7Rf2WbK9sLp4Zt`."""
    if (
        len(text) < 16
        or not text.isalnum()
        or len(patterns.NAME_PIECE.sub("", text)) * 2 < len(text)
    ):
        return False
    return has_both_cases(text) and count_digits(text) >= 2 and entropy(text) >= 3.5


def _is_more_than_code(text: str, operator: str) -> bool:
    if (
        text.rstrip("):,;") in CODE_WORDS
        or len(text) < 4
        or text[0] in "$<{("
        or text.endswith(("(", "{", "["))
    ):
        return False
    if len(text) <= 5 and not any(map(str.isalnum, text)):  # a part of an expression
        return False
    if patterns.CODE_START.match(text + " ") is not None and not has_digit(text):
        return False
    if is_identifier_chain(text) or patterns.YAML_TAG.match(text) is not None:
        return False
    # prose, such as "the password: must be long"
    return not (operator == ":" and patterns.PLAIN_WORD.fullmatch(text) is not None)


def _looks_random(text: str) -> bool:
    if (
        len(text) < 8
        or patterns.BLANK.search(text) is not None
        or is_identifier_chain(text)
        or patterns.HOST.fullmatch(text) is not None
    ):
        return False
    bits = entropy(text)
    if patterns.SNAKE_CASE.fullmatch(text) is not None:
        return False
    if (
        text.isalpha()
        and has_both_cases(text)
        and len(patterns.NAME_PIECE.sub("", text)) * 3 < len(text)
    ):  # `kEnumerableProperty`
        return False
    is_word = patterns.LETTERS_ONLY.fullmatch(text) is not None and not (
        len(text) >= 22 and text.isalpha() and text.islower()
    )
    return bits >= 2.5 and not (bits < 3.6 and is_word)
