"""The paths at which the configuration says that nothing is redacted: `$.deploy.commit_key`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize.json_path import key_path

_STEP = re.compile(r"\.([^.\[\]*]+|\*)|\[([0-9]+|\*)\]")
_LONGEST_PATH = 512


class AllowedPaths:
    """Paths of keys and indexes from the top of a line; `*` matches any one name or number."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Compile the entries that begin with `$.` or `$[`; ignore the others, which are values.

        Raise ConfigurationError for an entry that is not a valid path.
        """
        self._patterns: Sequence[re.Pattern[str]] = [
            _compile(entry) for entry in entries if is_path(entry)
        ]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def contain(self, line: bytes, offset: int) -> bool:
        """Return True if the offset in the line is at or below an allowed path."""
        path = key_path(line, offset)
        return len(path) <= _LONGEST_PATH and any(
            pattern.match(path) is not None for pattern in self._patterns
        )


def is_path(entry: str) -> bool:
    """Return True for an entry of the allow-list that is a path, not a value."""
    return entry.startswith(("$.", "$["))


def _compile(entry: str) -> re.Pattern[str]:
    steps = [match.group(0) for match in _STEP.finditer(entry)]
    if "$" + "".join(steps) != entry:
        raise ConfigurationError(
            'redaction.allow: an entry that begins with "$." or "$[" is a path, '
            "written as $.name.other[0].* or $.list[*].name"
        )
    path = "".join(_step(step) for step in steps)
    return re.compile(rf"(?:{path.removeprefix('[.]')})(?=[.\[]|\Z)")


def _step(step: str) -> str:
    if step == ".*":
        return r"[.][^.\[\]]+"
    return (
        r"\[[0-9]+\]"
        if step == "[*]"
        else f"[.]{re.escape(step[1:])}"
        if step[0] == "."
        else re.escape(step)
    )
