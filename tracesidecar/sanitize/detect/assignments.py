"""Assignments in text: `KEY=value`, YAML, INI, code, escaped JSON.

They are found by their sensitive word and judged by key and value.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

from tracesidecar.redaction_marker import MARKER_START
from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.budget import Budget
from tracesidecar.sanitize.engine import ScanEngine, ScanPattern, find_hits
from tracesidecar.sanitize.markers import MARKER_START_BYTES, Span
from tracesidecar.sanitize.rules import (
    KeyClass,
    KeyMatcher,
    count_digits,
    has_digit,
    has_random_part,
    is_identifier_chain,
    is_mixed,
    is_secret,
    words_of,
)

RULE = "kv-assignment"
LONGEST_VALUE = 4096
_STEPS_PER_WORD = 2
_STEPS_PER_VALUE = 13
_BYTES_PER_STEP = 150
_LONGEST_NUMBER = 6
_COMPARISONS = frozenset({"==", "!=", "===", "!=="})
_CLOSERS = {b")": b"(", b"]": b"[", b"}": b"{"}
_QUOTES = b"\"'`"
_BEFORE_KEY = (
    b"api",
    b"access",
    b"priv",
    b"private",
    b"account",
    b"auth",
    b"authentication",
    b"activation",
    b"secret",
    b"service",
    b"client",
    b"sign",
    b"signing",
    b"encrypt",
    b"encryption",
    b"master",
    b"license",
    b"app",
    b"db",
    b"database",
)
_TWO_WORD_NAMES = (
    *(word + b" key" for word in _BEFORE_KEY),
    b"db pass",
    b"database pass",
    b"key pass",
    b"connection string",
)
_NAME_CHARACTERS = string.ascii_letters.encode() + b"0123456789_.-\xc3\xb1"

WORDS = (
    r"(?i)(?:passw(?:or)?d|passwd|passphrase|passcode|passwort|contrase(?:n|\xc3\xb1)a"
    r"|pwd|secret|token|api[_. -]?key|access[_. -]?key"
    r"|priv(?:ate)?[_. -]?key|(?:secret|authentication|activation)[_. -]?key"
    r"|account[_. -]?key|auth[_. -]?key|service[_. -]?key"
    r"|client[_. -]?key|sign(?:ing)?[_. -]?key|encrypt(?:ion)?[_. -]?key"
    r"|master[_. -]?key|license[_. -]?key|pa?ss?w(?:or?s?d|r?d)"
    r"|app[_. -]?key|db[_. -]?(?:key|pass)|database[_. -]?(?:key|pass)|key[_. -]?pass"
    r"|[a-z0-9][_-](?:key|pat|skey)|(?-i:[a-z0-9]K(?:ey|EY))|art-api|[a-z0-9_-]pass"
    r"|\bpass|[_-]pw|\bpw|\bpsk|\bjwt|\botp|[cx]srf|(?:amz|goog|hub|webhook|hmac"
    r"|request|oauth)[_. -]?signature|client[_. -]?assertion|code[_. -]?verifier"
    r"|credentials?|creds|auth|cookie|dsn|connection[_. -]?string|sonar[_.-]login)"
)
"""A sensitive word that may begin an assignment."""


class Assignments:
    """Examines each occurrence of a sensitive word once, so that the time stays linear."""

    def __init__(
        self, engine: ScanEngine, keys: KeyMatcher, budget: Budget, custom_words: Iterable[str] = ()
    ) -> None:
        self._keys = keys
        self._budget = budget
        self._words = engine.compile(
            "words", [ScanPattern(0, WORDS), *(ScanPattern(0, word) for word in custom_words)]
        )

    def find_spans(self, text: bytes) -> list[Span]:
        """Return the values to redact, in order."""
        found: list[Span] = []
        done = 0
        for end, _ in find_hits(self._words, text):
            if end > done:
                span = self._value_after(text, end)
                if span is not None:
                    found.append((*span, RULE))
                    done = span[1]
        return found

    def find_words(self, text: bytes) -> Iterable[int]:
        """Return where the sensitive words of a text end."""
        return (end for end, _ in find_hits(self._words, text))

    def _value_after(self, text: bytes, word_end: int) -> tuple[int, int] | None:
        match = patterns.ASSIGNMENT_REST.match(text, word_end)
        if match is None:
            self._budget.spend(_STEPS_PER_WORD)
            return None
        start, end = match.span(2)
        self._budget.spend(_STEPS_PER_VALUE + (end - start) // _BYTES_PER_STEP)
        name_start = _name_start(text, word_end)
        if text[max(0, name_start - len(MARKER_START)) : name_start] == MARKER_START_BYTES:
            return None
        if (
            text[name_start - 1 : name_start] == b":"
            and patterns.ARN_BEFORE.search(text, max(0, name_start - 96), name_start) is not None
        ):
            return None
        head = text[name_start:start]
        name = patterns.NAME_AT.match(head)
        key = name.group(0).decode("utf-8", "ignore").strip() if name else ""
        key_class = self._keys.classify(key)
        operator = match.group(1).decode()
        if key_class is None or not _operator_fits(text, name_start, head, operator):
            return None
        if operator == ":" and text[max(0, name_start - 2) : name_start] == b"::":
            return None  # the name of a class
        is_quoted = head[-1:] in _QUOTES
        end = _value_end(text, start, end, is_quoted=is_quoted)
        value = text[start:end].decode("utf-8", "ignore")
        if (
            not value
            or MARKER_START in value
            or _is_code(text, head, value, end, operator, is_quoted=is_quoted)
        ):
            return None
        if self._is_name(key, value, is_quoted=is_quoted):
            return None
        if operator in {",", "("} and not _is_argument_secret(value):
            return None
        if is_quoted and key_class is KeyClass.STRONG and not _may_be_key(key, value):
            return None
        if not is_secret(value, key_class, quoted=is_quoted, operator=operator):
            return None
        if key_class is KeyClass.WEAK and key.lower() in value.lower() and _is_slug_of_words(value):
            return None  # "auth0": "types-auth0-python"
        if not is_quoted and end - start > LONGEST_VALUE - 96:
            rest = patterns.BARE_VALUE_REST.match(text, start)
            end = rest.end() if rest else end
        return start, end

    def _is_name(self, key: str, value: str, *, is_quoted: bool) -> bool:
        """Return True for a label or a variable that only names the credential again.

        Examples: `password: "Your password"`, `self.password = new_password`.
        """
        # a number of an error
        if key[-6:].lower() == "cookie" and value.isdigit() and len(value) <= _LONGEST_NUMBER:
            return True
        # PWD in a shell is the working directory
        if key.lower() in {"pwd", "oldpwd"} and patterns.DIRECTORY.match(value) is not None:
            return True
        if is_quoted:
            # the name of an option: `client.secret` under CLIENT_SECRET
            if (
                not has_digit(value)
                and patterns.BLANK.search(value) is None
                and set(words_of(key)) <= set(words_of(value))
            ):
                return True
            return patterns.LABEL.fullmatch(value) is not None and any(
                self._keys.classify(word) is not None for word in patterns.LABEL_WORD.findall(value)
            )
        # a constant that is imported under its own name, a target of a Makefile
        if key and (
            f".{key}".endswith(f".{value}")
            or (
                patterns.IDENTIFIER_CHAIN.fullmatch(value) is not None and value.endswith(f".{key}")
            )
            or value.startswith(f"{key}.")
            or (key.rpartition(".")[0] and value.rpartition(".")[0] == key.rpartition(".")[0])
        ):
            return True
        if value.isupper() and value.lower() in words_of(key):  # csrf_impl: CSRF
            return True
        if patterns.IDENTIFIER.fullmatch(value) is None or has_digit(value):
            return False
        return key.lower().endswith(value.lower()) or (
            ("_" in value.strip("_") or value[1:].lower() != value[1:] != value[1:].upper())
            and self._keys.classify(value) is not None
        )


def _name_start(text: bytes, word_end: int) -> int:
    start = _before_name(text, max(0, word_end - 64), word_end)
    if (
        start
        and text[start - 1 : start] == b" "
        and text[max(0, word_end - 24) : word_end].lower().endswith(_TWO_WORD_NAMES)
    ):
        start = _before_name(text, max(0, start - 65), start - 1)
    return start


def _before_name(text: bytes, low: int, end: int) -> int:
    return low + len(text[low:end].rstrip(_NAME_CHARACTERS))


def _operator_fits(text: bytes, name_start: int, head: bytes, operator: str) -> bool:
    if operator in {",", "("}:
        return head[-1:] in _QUOTES and b"\n" not in head and b"\r" not in head
    if operator == ">":
        return (
            text[max(0, name_start - 1) : name_start] == b"<"
            or patterns.NAMESPACE_BEFORE.search(text, max(0, name_start - 34), name_start)
            is not None
        )
    return b"\n" not in head and b"\r" not in head


def _value_end(text: bytes, start: int, end: int, *, is_quoted: bool) -> int:
    if is_quoted:
        if end - start > LONGEST_VALUE:
            # up to the next quote, so that the time for all values together stays linear
            rest = patterns.QUOTED_REST.match(text, start)
            end = rest.end() if rest else end
    else:
        word = patterns.BARE_VALUE.match(text[start:end])
        end = start + (word.end() if word else 0)
        value = text[start:end]
        while (closer := value[-1:]) in _CLOSERS and value.count(closer) > value.count(
            _CLOSERS[closer]
        ):
            value = value[:-1]
        end = start + len(value)
    return start + len(text[start:end].rstrip(b" \t,;.)"))


def _is_code(
    text: bytes, head: bytes, value: str, end: int, operator: str, *, is_quoted: bool
) -> bool:
    if not is_quoted and patterns.CALL_OR_INDEX.match(
        value + text[end : end + 1].decode("latin-1")
    ):
        return True
    if not is_quoted and value.isalpha() and patterns.EXPRESSION_CONTINUES.match(text, end):
        return True
    if (
        is_quoted
        and (
            value.startswith(patterns.BEHIND_QUOTE)  # the quote ended a string, it began none
            or (
                patterns.TEMPLATE.fullmatch(value) is not None
                and (head[-2:-1] in {b"f", b"F"} or text[end + 1 : end + 8] == b".format")
            )
            or patterns.SCHEME.fullmatch(f"{value} ") is not None
        )
    ):
        return True
    if not is_quoted and operator == ":" and _is_type(text, head, value, end):
        return True
    if operator == "(" and patterns.READS_TOKEN.match(head.decode("utf-8", "ignore")) is not None:
        return True
    if not is_quoted and (
        patterns.LITERALS.fullmatch(value) is not None
        or value.endswith("{}")
        or (operator in _COMPARISONS and _is_compared_name(value))
        or patterns.FLOAT.fullmatch(value) is not None
        or patterns.CONSTANT.fullmatch(value) is not None
        or value.startswith(("./", "../"))
        or (value.startswith("$") and value.endswith("-") and text[end : end + 1] == b">")
    ):
        return True
    if patterns.PLAIN_ADDRESS.match(value) is not None:
        return True
    if len(value) <= 16 and text[end : end + 3] == b"...":  # KEY=sk-... in documentation
        return True
    if operator == ":" and value.startswith(":"):  # Type::name
        return True
    if operator == "," and patterns.KEY_END.match(text, end):
        return True
    if operator == ">" and patterns.CLOSING_TAG.match(text[end : end + 80]) is None:
        return True
    return is_quoted and (
        value.startswith(("${", "#{", "{{")) or (head[-1:] == b"`" and "${" in value)
    )


def _is_compared_name(value: str) -> bool:
    name = value.rstrip(":")
    return patterns.IDENTIFIER.fullmatch(name) is not None or is_identifier_chain(name)


def _is_type(text: bytes, head: bytes, value: str, end: int) -> bool:
    """Return True for the type of a parameter: `key: PrivateKeyTypes, `, `:type key: ~a.Key`."""
    if is_identifier_chain(value.removeprefix("~")):
        return True
    is_password = b"pass" in head.lower() or b"pwd" in head.lower()  # its type is a string
    if is_password and "password" not in value.lower():
        return False
    return patterns.TYPE_NAME.fullmatch(value) is not None and (
        "=" in value or patterns.TYPE_CONTINUES.match(text, end) is not None
    )


def _is_argument_secret(value: str) -> bool:
    """Return False for a word or a sentence beside the name of a credential.

    Examples: `["password", "scram-sha-256"]`, `InvalidToken("the signature is wrong")`.
    """
    if patterns.BLANK.search(value) is not None:
        return False
    if value.isalnum():
        is_run = len(value) >= 20 and len(patterns.NAME_PIECE.sub("", value)) * 2 >= len(value)
        return is_run or has_digit(value)
    return is_mixed(value) or patterns.UUID.fullmatch(value) is not None or has_random_part(value)


def _is_slug_of_words(value: str) -> bool:
    return (
        patterns.WORD_SLUG.fullmatch(value) is not None
        and patterns.WORD_IN_SLUG.search(value) is not None
        and count_digits(value) * 2 <= len(value)
    )


def _may_be_key(key: str, value: str) -> bool:
    """Return False for a short quoted word that names a field: `sort_key = "name"`."""
    if words_of(key)[-1:] != ("key",):
        return True
    if words_of(key)[-2:] == ("license", "key") and _is_slug_of_words(value):  # `bsd-2-clause`
        return False
    return len(value) >= 8 and (
        len(value) >= 20
        or has_digit(value)
        or not any(c.isalnum() or c in " _.-" for c in value[1:])
        or is_mixed(value)
    )
