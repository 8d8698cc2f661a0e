"""Values that the layout of a text names: the column of a table, the line above, a list's key.

A key and its value are apart here, with other cells, a newline or an indentation between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from tracesidecar.redaction_marker import MARKER_START
from tracesidecar.sanitize.budget import Budget
from tracesidecar.sanitize.markers import Span
from tracesidecar.sanitize.rules import KeyClass, KeyMatcher, is_identifier_chain, is_secret

RULE = "named-cell"
_LONGEST_LINE = 4096
_MOST_CELLS = 64
_STEPS_PER_LINE = 4
_LONGEST_PAIR = 640
_NAME = re.compile(r"[\w\x80-\xff][\w\x80-\xff .#/-]{0,39}")
_CODE = re.compile(r"[(\[<]|^[@#]|[,;]$|^\W+$")
"""What a value in a layout has not, unless it is code or a link."""
_STATEMENT = re.compile(r"\b(?:if|elif|else|for|while|in|not|def|class|with|return|match|case)\b")
_PLAIN_WORD = re.compile(r"[A-Za-z\x80-\xff]+|[A-Z]?[a-z]+(?:[_-][a-z]+)*")
_RULER = re.compile(r"[\s|+:=-]+")
_COLUMNS = re.compile(r"\S+(?: \S+)*")
_LABEL = re.compile(
    r"(?:^|.*[^\w\x80-\xff -])[ \t]*([\w\x80-\xff][\w\x80-\xff -]{1,63}?)[ \t]*:[ \t]*$"
)
_PROMPT = re.compile(r"[ \t]*(?:[>$#]+[ \t]+)?")
_BLOCK = re.compile(
    r"([ \t]*)(?:- )?[\"']?([\w.-]{2,64})[\"']?[ \t]*:[ \t]*(?:[|>][0-9]?[+-]?)?[ \t]*$"
)
_ITEM = re.compile(r"([ \t]*)-[ \t]+([\"']?)([^\s\"']{3,512})\2[ \t]*$")
_PAIR = re.compile(r"[ \t]*([\w.-]{2,64})(?:[ \t]+\|[ \t]*|[ \t]{3,}|\t[ \t]*)(\S{3,512})[ \t]*$")
_INSERT = re.compile(
    r"(?i)\binsert\s+(?:ignore\s+)?into\s+[\w.\"`\[\]]{1,128}\s*\(([^()]{1,2048})\)\s*values\s*"
)
_TUPLE = re.compile(r"\s*,?\s*\(")
_SQL_VALUE = re.compile(r"\s*(?:'((?:[^'\\]|''|\\.)*)'|\"([^\"]*)\"|([^,()']*))\s*([,)])")
_KEY_BEFORE = re.compile(r'[^\n]{0,320}"[\w.-]{1,64}":[ ]?"')


class _Line(NamedTuple):
    """A line and where it begins in the text."""

    start: int
    text: str


class _Cell(NamedTuple):
    """A cell and where it begins in its line."""

    start: int
    text: str


_Split = Callable[[str], list[_Cell]]
"""How the cells of a line are told apart."""


class Layouts:
    """Finds values by the layout of the text that they are in."""

    def __init__(self, keys: KeyMatcher, budget: Budget) -> None:
        self._keys = keys
        self._budget = budget

    def find_spans(self, text: bytes, words: Iterable[int]) -> list[Span]:
        """Return the values to redact, in order. `words` are the ends of sensitive words."""
        plain = text.decode("latin-1")  # an offset is that of the byte
        found: set[tuple[int, int]] = set()
        done = 0
        for end in sorted(words):
            if end < done:
                continue
            line = _line_at(plain, end)
            done = line.start + len(line.text) + 1
            if len(line.text) > _LONGEST_LINE or MARKER_START in line.text:
                continue
            self._budget.spend(_STEPS_PER_LINE)
            table = self._read_header(line.text)
            if table is not None and not (table.is_ruled and not _is_ruled_off(plain, line)):
                before = len(found)
                found.update(self._find_in_rows(table, _lines_after(plain, line)))
                if len(found) > before:
                    continue
            found.update(self._find_below(line, plain))
            found.update(self._find_in_pair(line))
        if ")" in plain:
            found.update(self._find_in_inserts(plain))
        return [(*span, RULE) for span in sorted(found)]

    def _classify(self, name: str) -> KeyClass | None:
        """Return the class of a name, which may be a plural."""
        name = name.encode("latin-1").decode("utf-8", "ignore").strip(" \t\"'`*")
        found = self._keys.classify(name) if name else None
        if found is not KeyClass.STRONG and name.endswith("s"):
            return self._keys.classify(name[:-1]) or found
        return found

    def _judge(
        self, start: int, value: str, key_class: KeyClass, *, is_plain: bool = False
    ) -> Iterator[tuple[int, int]]:
        """Yield the span of a value that is a secret. `is_plain`: a word may be one, too."""
        stripped = value.strip(" \t\"'`*")
        start += value.find(stripped)
        decoded = stripped.encode("latin-1").decode("utf-8", "ignore")
        if (
            len(stripped) < 3
            or MARKER_START in stripped
            or _CODE.search(stripped) is not None
            or (not is_plain and _is_word(stripped))
            or not is_secret(decoded, key_class)
        ):
            return
        yield start, start + len(stripped)

    # Tables:

    def _find_in_rows(self, table: _Header, lines: Iterable[_Line]) -> Iterator[tuple[int, int]]:
        for line in lines:
            if _RULER.fullmatch(line.text):
                continue
            self._budget.spend(_STEPS_PER_LINE)
            cells = table.split(line.text)
            if len(cells) != table.width:
                return
            for column, key_class in table.columns:
                start, value = cells[column]
                if table.is_ruled or " " not in value.strip():
                    yield from self._judge(
                        line.start + start, value, key_class, is_plain=table.is_ruled
                    )

    def _read_header(self, text: str) -> _Header | None:
        """Return how the rows below a header are split, and which of their columns to redact."""
        for split, is_ruled in (
            (_split_bars, True),
            (_split_tabs, False),
            (_split_commas, False),
            (_split_semicolons, False),
            (_split_columns, False),
        ):
            cells = split(text)
            if not 2 <= len(cells) <= _MOST_CELLS:
                continue
            names = [cell.text.strip(" \t\"'`*") for cell in cells]
            if not all(map(_NAME.fullmatch, names)):
                continue
            columns = [
                (i, key_class)
                for i, name in enumerate(names)
                if name.count(" ") <= 3 and (key_class := self._classify(name)) is not None
            ]
            if columns:
                return _Header(split, len(cells), columns, is_ruled)
        return None

    # Below a name:

    def _find_below(self, line: _Line, text: str) -> Iterator[tuple[int, int]]:
        ending = line.text[-8:].rstrip()[-1:]
        if len(line.text) > 160 or ending not in {":", "|", ">", "-"}:
            return
        if (block := _BLOCK.fullmatch(line.text)) is not None:
            key_class = self._classify(block[2])
            if key_class is not None:
                yield from self._find_in_block(
                    _lines_after(text, line), len(block[1]), key_class, is_scalar=ending != ":"
                )
        label = _LABEL.fullmatch(line.text)
        if label is None or _STATEMENT.search(line.text) is not None:
            return
        if (key_class := self._classify_label(label[1])) is not None:
            yield from self._find_next(islice(_lines_after(text, line), 2), key_class)

    def _classify_label(self, label: str) -> KeyClass | None:
        words = label.split(" ")
        found = (self._classify(" ".join(words[-size:])) for size in (1, 2))
        return next((each for each in found if each is KeyClass.STRONG), None)

    def _find_in_block(
        self, lines: Iterable[_Line], indent: int, key_class: KeyClass, *, is_scalar: bool
    ) -> Iterator[tuple[int, int]]:
        """Yield what a block scalar or a list below a key has."""
        for line in lines:
            width = len(line.text) - len(line.text.lstrip(" \t"))
            if is_scalar:
                if line.text.strip() and width <= indent:
                    return
                yield from self._judge(line.start, line.text, key_class, is_plain=True)
                continue
            item = _ITEM.fullmatch(line.text)
            if item is None or width < indent:
                return
            yield from self._judge(line.start + item.start(3), item[3], key_class)

    def _find_next(self, lines: Iterable[_Line], key_class: KeyClass) -> Iterator[tuple[int, int]]:
        for line in lines:
            if not line.text.strip():
                continue
            prompt = _PROMPT.match(line.text)
            begin = prompt.end() if prompt is not None else 0
            value = line.text[begin:].strip()
            if (
                5 < len(value) <= 512
                and " " not in value
                and value[-1:] not in ":,{[("
                and not value.startswith(("/", "-", "#", "//", "http:", "https:"))
            ):
                yield from self._judge(line.start + begin, line.text[begin:], key_class)
            return

    # Two columns without a header, and statements:

    def _find_in_pair(self, line: _Line) -> Iterator[tuple[int, int]]:
        pair = _PAIR.fullmatch(line.text) if len(line.text) <= _LONGEST_PAIR else None
        key_class = self._classify(pair[1]) if pair is not None else None
        if pair is not None and key_class is not None:
            yield from self._judge(line.start + pair.start(2), pair[2], key_class)

    def _find_in_inserts(self, text: str) -> Iterator[tuple[int, int]]:
        for insert in _INSERT.finditer(text):
            names = [name.strip(" \t\r\n\"`[]'") for name in insert[1].split(",")]
            classes = [self._classify(name) for name in names]
            if not any(classes):
                continue
            at = insert.end()
            while (opened := _TUPLE.match(text, at)) is not None:
                at = opened.end()
                for key_class in classes:
                    value = _SQL_VALUE.match(text, at)
                    if value is None:
                        break
                    at = value.end()
                    group = next(i for i in (1, 2, 3) if value[i] is not None)
                    if key_class is not None and group != 3:
                        yield from self._judge(
                            value.start(group), value[group], key_class, is_plain=True
                        )
                    if value[4] == ")":
                        break
                else:
                    break


def _is_word(value: str) -> bool:
    """Return whether a value is a word, a number, or a name in code."""
    return value.isdigit() or _PLAIN_WORD.fullmatch(value) is not None or is_identifier_chain(value)


class _Header(NamedTuple):
    """What the header of a table says about the rows below it."""

    split: _Split
    width: int
    columns: Sequence[tuple[int, KeyClass]]
    is_ruled: bool
    """Bars are between the cells: they are no prose."""


def _is_ruled_off(text: str, line: _Line) -> bool:
    """Return whether a line of bars follows, as after the header of a table."""
    following = next(_lines_after(text, line), None)
    return following is not None and _RULER.fullmatch(following.text) is not None


def _line_at(text: str, at: int) -> _Line:
    """Return the line that has an offset; without what is before a string that begins in it.

    A hit is confirmed in a window of the raw line, where the key of the string is before it.
    """
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", max(start, at - 1))
    line = text[start : end if end >= 0 else len(text)]
    key = _KEY_BEFORE.match(line) if not start else None
    if key is not None and start + key.end() < at:
        start, line = start + key.end(), line[key.end() :]
    return _Line(start, line.removesuffix("\r"))


def _lines_after(text: str, line: _Line) -> Iterator[_Line]:
    start = text.find("\n", line.start + len(line.text)) + 1
    while 0 < start < len(text):
        end = text.find("\n", start)
        stop = end if end >= 0 else len(text)
        yield _Line(start, text[start:stop].removesuffix("\r"))
        start = end + 1


def _split_at(text: str, separator: str) -> list[_Cell]:
    cells, start = [], 0
    for cell in text.split(separator):
        cells.append(_Cell(start, cell))
        start += len(cell) + 1
    return cells


def _split_bars(text: str) -> list[_Cell]:
    if "|" not in text:
        return []
    cells = _split_at(text, "|")
    if not cells[0].text.strip():
        cells = cells[1:]
    # in the window of a raw line, the end of the string is behind its last bar
    return cells[:-1] if cells and cells[-1].text.lstrip()[:1] in {"", '"'} else cells


def _split_tabs(text: str) -> list[_Cell]:
    return _split_at(text, "\t") if "\t" in text else []


def _split_commas(text: str) -> list[_Cell]:
    return _split_quoted(text, ",")


def _split_semicolons(text: str) -> list[_Cell]:
    return _split_quoted(text, ";")


def _split_quoted(text: str, separator: str) -> list[_Cell]:
    """Return the cells of a line of CSV, in which quotes may hide separators."""
    if separator not in text:
        return []
    if '"' not in text:
        return _split_at(text, separator)
    cells: list[_Cell] = []
    start = 0
    for cell in _split_at(text, separator):
        if cells and cells[-1].text.count('"') % 2:
            last = cells[-1]
            cells[-1] = _Cell(last.start, text[last.start : start + len(cell.text)])
        else:
            cells.append(_Cell(start, cell.text))
        start += len(cell.text) + 1
    return cells


def _split_columns(text: str) -> list[_Cell]:
    """Return the cells of a line that has two blanks between them, at least."""
    if "  " not in text:
        return []
    return [_Cell(match.start(), match[0]) for match in _COLUMNS.finditer(text)]
