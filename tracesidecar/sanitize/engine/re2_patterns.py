"""RE2 patterns with the options of this package, compiled when first used."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, cast

from tracesidecar.errors import ConfigurationError

if TYPE_CHECKING:
    import re2

MAX_MEMORY = 8 << 20
"""The most one pattern may use for its automata; RE2 takes it only as it needs it."""


class Re2Match(Protocol):
    """What RE2 returns for a match in bytes."""

    def span(self, group: int = 0, /) -> tuple[int, int]:
        """Byte offsets of a group, (-1, -1) when it took no part."""


class Re2Pattern:
    """A pattern over bytes: of UTF-8 text, or with `is_binary` of anything (a dot then also means a
    newline).
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
        """How many groups the pattern has."""
        return cast("int", self._compiled.groups)

    def finditer(self, data: bytes) -> Iterator[Re2Match]:
        """Leftmost matches that do not overlap."""
        return cast("Iterator[Re2Match]", self._compiled.finditer(data))

    def search(self, data: bytes, start: int = 0) -> Re2Match | None:
        """The leftmost match at or behind `start`."""
        return cast("Re2Match | None", self._compiled.search(data, start))


def compile_pattern(expression: str, *, where: str) -> Re2Pattern:
    """Compile a user's pattern now; raise ConfigurationError with RE2's reason when it refuses."""
    import re2

    pattern = Re2Pattern(expression)
    try:
        groups = pattern.groups
    except re2.error as error:
        reason = error.args[0] if error.args else "not RE2 syntax"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ConfigurationError(f"{where}: RE2 refuses the pattern: {text}") from None
    assert groups >= 0  # noqa: S101
    return pattern
