"""RE2 patterns with the options that this package needs, compiled on first use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, cast

from tracesidecar.errors import ConfigurationError

if TYPE_CHECKING:
    import re2

MAX_MEMORY = 8 << 20
"""The most memory that one pattern may use for its automata; RE2 allocates it as needed."""


class Re2Match(Protocol):
    """The part of RE2's match object that is used here."""

    def span(self, group: int = 0, /) -> tuple[int, int]:
        """Return the byte offsets of a group, (-1, -1) if it did not take part."""


class Re2Pattern:
    """A pattern over the bytes of UTF-8 text.

    With `is_binary` it runs over any bytes, and a dot also matches a newline.
    """

    def __init__(self, expression: str, *, is_binary: bool = False) -> None:
        self._expression = expression
        self._is_binary = is_binary

    @cached_property
    def _compiled(self) -> re2._Regexp:
        import re2

        options = re2.Options()
        options.max_mem = MAX_MEMORY
        options.log_errors = False
        if self._is_binary:
            options.encoding = re2.Options.Encoding.LATIN1
            options.dot_nl = True
            return re2.compile(self._expression.encode("latin-1", "strict"), options)
        return re2.compile(self._expression, options)

    @cached_property
    def groups(self) -> int:
        """The number of groups in the pattern."""
        return cast("int", self._compiled.groups)

    def find_part(self, match: Re2Match, group: int) -> tuple[int, int]:
        """Return the span of the group (0: the whole match), or of the last one that took part.

        Alternatives in a pattern have a group each.
        """
        if not group:
            return match.span()
        for candidate in (group, *range(self.groups, 0, -1)):
            if candidate <= self.groups:
                start, end = match.span(candidate)
                if 0 <= start < end:
                    return start, end
        return match.span()

    def finditer(self, data: bytes) -> Iterator[Re2Match]:
        """Iterate over the leftmost matches that do not overlap."""
        return cast("Iterator[Re2Match]", self._compiled.finditer(data))

    def search(self, data: bytes, start: int = 0) -> Re2Match | None:
        """Return the leftmost match at or after `start`."""
        return cast("Re2Match | None", self._compiled.search(data, start))


def compile_pattern(expression: str, *, where: str) -> Re2Pattern:
    """Compile a user's pattern immediately.

    Raise ConfigurationError with RE2's reason if it is invalid; `where` names the entry in the
    message.
    """
    import re2

    pattern = Re2Pattern(expression)
    try:
        groups = pattern.groups
    except re2.error as error:
        reason = error.args[0] if error.args else "not RE2 syntax"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ConfigurationError(f"{where}: RE2 rejects the pattern: {text}") from None
    assert groups >= 0  # noqa: S101
    return pattern
