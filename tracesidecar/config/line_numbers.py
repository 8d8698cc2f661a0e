"""Find the line of each key in a TOML document: the decoder does not keep it."""

from __future__ import annotations

import re
from bisect import bisect_right

from tracesidecar.config.problems import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_STRINGS = (
    re.compile(r'"""(?:\\.|[^\\])*?"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"((?:\\.|[^"\\])*)"'),
    re.compile(r"'([^']*)'"),
)


def locate(text: str) -> dict[KeyPath, int]:
    """Map every key path of a valid TOML document to its line, counted from 1."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """A walk over a document that the real decoder has accepted: it finds lines, not mistakes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._array_lengths: dict[KeyPath, int] = {}

    def document(self) -> None:
        block: KeyPath = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                block = self.header()
            else:
                self.pair(block)
            self.skip(_BLANK)

    def header(self) -> KeyPath:
        is_array = self.text.startswith("[[", self.at)
        line = self.line()
        self.at += 2 if is_array else 1
        block: KeyPath = ()
        keys = self.keys()
        for position, key in enumerate(keys):
            block = (*block, key)
            self.lines.setdefault(block, line)
            is_last = position == len(keys) - 1
            if is_last and is_array:
                self._array_lengths[block] = self._array_lengths.get(block, 0) + 1
            if block in self._array_lengths:
                block = (*block, self._array_lengths[block] - 1)
                self.lines.setdefault(block, line)
        self.at += 2 if is_array else 1
        return block

    def pair(self, block: KeyPath) -> None:
        line = self.line()
        path = block
        for key in self.keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self.at = self.text.index("=", self.at) + 1
        self.value(path)

    def keys(self) -> list[str]:
        found = []
        while True:
            self.skip(_BLANK)
            found.append(self.key())
            self.skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return found
            self.at += 1

    def key(self) -> str:
        for pattern in (_BARE_KEY, *_STRINGS[2:]):
            match = pattern.match(self.text, self.at)
            if match:
                self.at = match.end()
                return match.group(match.re.groups)
        self.at += 1
        return ""

    def value(self, path: KeyPath) -> None:
        self.skip(_BLANK)
        self.lines.setdefault(path, self.line())
        if self.text.startswith("[", self.at):
            self.array(path)
        elif self.text.startswith("{", self.at):
            self.inline_table(path)
        elif not any(self.skip(pattern) for pattern in _STRINGS):
            self.skip(_SCALAR)

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while not self.closes("]"):
            self.value((*path, index))
            index += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while not self.closes("}"):
            self.pair(path)

    def closes(self, bracket: str) -> bool:
        """Skip blanks and one comma; return whether the bracket follows.

        The end of the text counts as a bracket.
        """
        self.skip(_BLANK)
        if self.text.startswith(",", self.at):
            self.at += 1
            self.skip(_BLANK)
        if self.at < len(self.text) and not self.text.startswith(bracket, self.at):
            return False
        self.at += 1
        return True

    def skip(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self.text, self.at)
        if match is None:
            return False
        self.at = match.end()
        return True

    def line(self) -> int:
        return bisect_right(self._newlines, self.at - 1) + 1
