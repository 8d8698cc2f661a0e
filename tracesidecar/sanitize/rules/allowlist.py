"""The places of a line where the configuration says that nothing is cut: `$.deploy.commit_key`,
`$.steps[*].token`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize.json_path import key_path

_STEP = re.compile(r"\.([^.\[\]*]+|\*)|\[([0-9]+|\*)\]")
_LONGEST = 512


class AllowedPaths:
    """Paths of keys and indexes from the top of a line; `*` stands for one step of any name or
    number.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Take the entries that begin with `$.` or `$[`; raise ConfigurationError for one that is
        no path.
        """
        self._patterns: Sequence[re.Pattern[str]] = [
            _compiled(entry) for entry in entries if is_path(entry)
        ]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def contain(self, line: bytes, offset: int) -> bool:
        """True when what stands at the offset of the line is below an allowed path."""
        path = key_path(line, offset)
        return len(path) <= _LONGEST and any(
            pattern.match(path) is not None for pattern in self._patterns
        )


def is_path(entry: str) -> bool:
    """True for an entry of the allow-list that names a place, not a value."""
    return entry.startswith(("$.", "$["))


def _compiled(entry: str) -> re.Pattern[str]:
    steps = [match.group(0) for match in _STEP.finditer(entry)]
    if "$" + "".join(steps) != entry:
        raise ConfigurationError(
            'redaction.allow: what begins with "$." or "$[" is a path, written as $.name.other[0].* or $.list[*].name'
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
