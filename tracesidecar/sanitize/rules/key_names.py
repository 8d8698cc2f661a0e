"""Does a key name a credential?

Keys are matched by whole words, never by substrings, so that token counters are kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.rules.catalogue import Vocabulary
from tracesidecar.sanitize.rules.value_checks import KeyClass

LONGEST_KEY = 256
_ROOTS = ("password", "passphrase", "passwd", "secret", "apikey", "credential")
_ODD_CASINGS = (
    "apikey",
    "password",
    "passwd",
    "secretkey",
    "accesstoken",
    "authtoken",
    "clientsecret",
    "privatekey",
)
_CUSTOM_NAME = re.compile(r"[A-Za-z0-9]+(?:[ _.\-]?[A-Za-z0-9]+)*")


def words_of(key: str) -> tuple[str, ...]:
    """Split a key into lower-case words without trailing digits.

    Camel case and separators end a word; accents, full width and invisible characters are ignored.
    """
    text = unicodedata.normalize("NFKC", key) if not key.isascii() else key
    if not (text.isascii() and text.isprintable()):
        text = "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Cc", "Mn"})
    if not text.islower():
        text = patterns.CAMEL_END.sub(r"\1 \2", patterns.CAMEL_START.sub(r"\1 \2", text)).lower()
    if not text.isascii():
        text = "".join(
            c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
        )
    split = (word for word in patterns.NOT_WORD.split(text) if word)
    return tuple(word.rstrip("0123456789") or word for word in split if not word.isdigit())


class KeyMatcher:
    """Classifies keys by the vocabulary and by the names that the configuration adds."""

    def __init__(self, vocabulary: Vocabulary, custom_names: Iterable[str] = ()) -> None:
        """Raise ConfigurationError for a custom name that is not made of ASCII words."""
        self._words = vocabulary
        self._glued = tuple(sorted(vocabulary.glued, key=len, reverse=True))
        self._exact = frozenset(tuple(entry.split("_")) for entry in vocabulary.exact)
        self._custom = frozenset(words_of(_check(name)) for name in custom_names)
        self.classify = lru_cache(4096)(self._classify)
        self.is_numeric = lru_cache(1024)(self._is_numeric)

    def _is_numeric(self, key: str) -> bool:
        """Return True if a bare number under this key is a secret (a PIN), not a count."""
        return any(
            word in self._words.numeric for word in words_of(patterns.MARKER_TEXT.sub("", key))
        )

    def _classify(self, key: str) -> KeyClass | None:
        """Return how strongly the key names a credential, None if it does not.

        A redaction marker inside the key is ignored.
        """
        if key.isdigit():
            return None
        key = patterns.MARKER_TEXT.sub("", key[-LONGEST_KEY:])
        words = words_of(key)
        if not words:
            return None
        if self._is_exact(words):
            return KeyClass.STRONG
        at, found = self._last_sensitive(words)
        if found is None:
            return KeyClass.STRONG if "".join(words).endswith(_ODD_CASINGS) else None
        return self._with_tail(words, at, found)

    def _is_exact(self, words: tuple[str, ...]) -> bool:
        if words in self._exact or words[-2:] in self._exact:
            return True
        return any(words[-len(name) :] == name for name in self._custom)

    def _last_sensitive(self, words: tuple[str, ...]) -> tuple[int, KeyClass | None]:
        at, found = -1, None
        for i in range(len(words)):
            word_class = self._word_class(words, i)
            if word_class is None:
                continue
            if not (found is KeyClass.STRONG and word_class is KeyClass.WEAK and at == i - 1):
                found = word_class
            at = i
        return at, found

    def _word_class(self, words: tuple[str, ...], i: int) -> KeyClass | None:
        word, previous, is_last = words[i], words[i - 1] if i else "", i == len(words) - 1
        lists = self._words
        if word in {"secret", "secrets"} and previous in lists.secret_neg_prev:
            return None
        if word in lists.strong:
            return KeyClass.STRONG
        if word in {"token", "tokens"}:
            if words[max(0, i - 2) : i] == ("client", "request"):  # idempotence, as AWS names it
                return None
            return self._token_class(word, previous)
        if word in {"key", "keys"}:
            if "spdx" in words[max(0, i - 2) : i]:  # the name of a licence
                return None
            return self._key_class(word, previous, is_last=is_last)
        if word == "pass" and is_last:
            if previous in lists.pass_prev or previous in lists.vendors:
                return KeyClass.STRONG
            return None if previous in lists.pass_neg_prev else KeyClass.WEAK
        if word in {"auth", "dsn"} or (word == "authentication" and is_last):
            return KeyClass.WEAK
        if word in {"string", "str"} and previous in {"connection", "conn", "connect"}:
            return KeyClass.STRONG
        if word == "signature" and previous in {
            "amz",
            "goog",
            "hub",
            "webhook",
            "hmac",
            "oauth",
            "request",
        }:
            return KeyClass.STRONG
        if word == "id" and words[max(0, i - 2) : i] == ("cookie", "session"):
            return KeyClass.STRONG
        return (
            KeyClass.STRONG
            if (len(word) > 6 and word.endswith(self._glued))
            or self._is_run_together(word, is_last=is_last)
            else None
        )

    def _is_run_together(self, word: str, *, is_last: bool) -> bool:
        """Return True for words run together or misspelt: `mysqlpass`, `userpwd`, `pasword`."""
        lists = self._words
        if is_last and word.endswith("pass") and word[:-4] in lists.pass_prev:
            return True
        if patterns.PASSWORD_MISSPELT.search(word) is not None:
            return True
        root = next((root for root in _ROOTS if word.startswith(root)), None)
        if root is None:
            return False
        tail = word[len(root) :]
        return tail in lists.tail_value or (len(tail) <= 2 and tail != "ly")

    def _token_class(self, word: str, previous: str) -> KeyClass | None:
        lists = self._words
        if word == "tokens":
            return KeyClass.WEAK if previous in lists.tokens_pos_prev else None
        if previous in lists.token_neg_prev:
            return None
        is_named = previous in lists.tokens_pos_prev or (
            previous and previous not in {"token", "auth", "key", "session"}
        )
        return KeyClass.STRONG if is_named else KeyClass.WEAK

    def _key_class(self, word: str, previous: str, *, is_last: bool) -> KeyClass | None:
        lists = self._words
        if previous in lists.key_prev:
            return KeyClass.STRONG if word == "key" else KeyClass.WEAK
        if word == "key" and is_last and previous in lists.vendors:
            return KeyClass.WEAK
        if word == "key" and previous and previous not in lists.key_neg_prev and is_last:
            return KeyClass.MAYBE
        return None

    def _with_tail(self, words: tuple[str, ...], at: int, found: KeyClass) -> KeyClass | None:
        """Judge by the words after the sensitive one.

        `token_count` is a count, `password_prod` is a password.
        """
        tail = words[at + 1 :]
        if not tail:
            return (
                KeyClass.WEAK
                if at and words[0] in self._words.bool_prefix and found is not KeyClass.MAYBE
                else found
            )
        if any(word in self._words.tail_descriptor for word in tail):
            return None
        if all(word in self._words.tail_value for word in tail):
            return found
        return found if found is KeyClass.STRONG else KeyClass.WEAK


def _check(name: str) -> str:
    if _CUSTOM_NAME.fullmatch(name) is None or not words_of(name):
        raise ConfigurationError(
            f'redaction.key_names: "{name}" is not a name; '
            "allowed are ASCII letters and digits, separated by single _ - . or blanks"
        )
    return name
