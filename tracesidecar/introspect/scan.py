"""Put whole files through validation and redaction, and keep only counts and locations."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, NamedTuple

import msgspec

from tracesidecar.config import rules_cache
from tracesidecar.directories import open_regular
from tracesidecar.introspect.archives import UNREADABLE, compression_by_name, open_content
from tracesidecar.introspect.chunks import NumberedChunk, read_chunks, read_document_chunks
from tracesidecar.introspect.usage_totals import UsageSum, UsageTally
from tracesidecar.model import CleanChunk
from tracesidecar.redaction_marker import MARKER_START_PATTERN
from tracesidecar.sanitize import (
    RedactionOptions,
    active_rules,
    key_paths,
    line_positions,
    load_catalogue,
    printable,
)
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.tail import MAX_LINE, Tree

INVALID_LINES_KEPT = 1000
MATCHES_KEPT = 1000
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".traj")
DOCUMENT_SUFFIXES = tuple(
    f"{name}{archive}" for name in (".json", ".traj") for archive in ("", ".gz", ".zst")
)
"""Files with these names are read as JSON documents, which may have several lines."""
_MARK = re.compile(MARKER_START_PATTERN.encode())


class RuleMatch(NamedTuple):
    """Where a rule found something: the number of the line, and the path of keys in it.

    The path is redacted itself. The field names are keys of `scan --json`.
    """

    rule: str
    line: int
    path: str


@dataclass(slots=True)
class FileFindings:
    """What was found in a file: counts, and the first thousand matches and rejected lines.

    `path` is the name as it may be shown; `dialect` and `usage` are set once all files are read.
    `pii_allowed` is the part of `pii` that the configuration does not redact. `invalid_lines` are
    (line number, reason); `trouble` is why reading ended early, empty if it did not.
    """

    path: str
    lines: int = 0
    bytes: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    invalid_lines: list[tuple[int, str]] = field(default_factory=list)
    secrets: Counter[str] = field(default_factory=Counter)
    pii: Counter[str] = field(default_factory=Counter)
    pii_allowed: Counter[str] = field(default_factory=Counter)
    matches: list[RuleMatch] = field(default_factory=list)
    trouble: str = ""
    dialect: str = ""
    usage: UsageSum = field(default_factory=UsageSum)

    @property
    def is_clean(self) -> bool:
        """Whether all was read, and nothing was found or would be rejected."""
        return not (self.invalid or self.secrets or self.pii or self.trouble)


class TraceFile(NamedTuple):
    """A file by the path that a person gave, or that leads to it from there."""

    path: str
    open: Callable[[], int]
    """Opens it for reading; raises OSError if it is not a regular file."""


def trace_files(paths: Iterable[str]) -> Iterator[TraceFile]:
    """Yield the files that are given, and the trace files in the directories that are given.

    Not every .json file in a directory is a trace. In a directory, which an agent may write in,
    only links of root and of this user are followed, and none to a directory.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield TraceFile(path, partial(open_regular, path))
            continue
        root = os.path.realpath(path)
        tree = Tree.below([root])
        for folder, entries in sorted(tree.walk(root), key=lambda found: found[0].split("/")):
            for name in sorted(entry.name for entry in entries if not entry.is_directory):
                if name.endswith(SUFFIXES):
                    real = os.path.join(folder, name)
                    yield TraceFile(
                        os.path.join(path, os.path.relpath(real, root)), partial(_open, tree, real)
                    )


def _open(tree: Tree, path: str) -> int:
    with tree.follow(path, None) as (_, found):
        return found.open()


class FileScanner:
    """Scans files with all rules for personal data, whether or not the configuration has them."""

    def __init__(self, redaction: RedactionOptions) -> None:
        catalogue = load_catalogue()
        personal = {rule.id for rule in catalogue.rule if rule.category == "pii"}
        redacted = {rule.id for rule in active_rules(catalogue, redaction)}
        self._personal = personal
        self._allowed = personal - redacted
        wanted = tuple(
            rule.id
            for rule in catalogue.rule
            if rule.id in personal and rule.id not in redaction.disable
        )
        self._sanitize = Sanitizer(
            msgspec.structs.replace(redaction, pii=wanted), cache_directory=rules_cache(os.environ)
        )
        self._tally = UsageTally()
        self.cache_trouble = self._sanitize.cache_trouble

    def scan(
        self, files: Iterable[TraceFile], advance: Callable[[int], object]
    ) -> Iterator[FileFindings]:
        """Scan one file after the other.

        `advance` is called with the number of bytes done on disk: bit by bit in a plain file, once
        at the end of an archive.
        """
        for path, opens in files:
            findings = FileFindings(self.name(path))
            try:
                with open_content(path, opens()) as file:
                    self._read(path, file, findings, _nothing if _is_archive(path) else advance)
            except UNREADABLE as error:
                findings.trouble = (
                    error.strerror if isinstance(error, OSError) else None
                ) or "damaged archive"
            if _is_archive(path):
                advance(os.path.getsize(path))
            yield findings

    def with_totals(self, findings: Iterable[FileFindings]) -> list[FileFindings]:
        """Return the findings of all files, with their dialects and the sums of their calls."""
        files = list(findings)
        sums = self._tally.sums()
        for file in files:
            file.dialect = self._tally.dialect(file.path)
            file.usage = sums.get(file.path, UsageSum())
        return files

    def name(self, path: str) -> str:
        """Return the file name as it may be shown: redacted as the configuration redacts traces."""
        redacted = self._sanitize.redact_text(path)
        rules = {
            match.group(1).decode()
            for match in _MARK.finditer(redacted.encode("utf-8", "surrogateescape"))
        }
        return printable(redacted if rules - self._allowed else path)

    def _read(
        self, path: str, file: BinaryIO, findings: FileFindings, advance: Callable[[int], object]
    ) -> None:
        self._tally.begin(findings.path)
        read = read_document_chunks if path.endswith(DOCUMENT_SUFFIXES) else read_chunks
        for numbered in read(path, file.read, MAX_LINE):
            clean = self._sanitize(numbered.chunk)
            self._tally.take(findings.path, numbered.chunk, clean)
            findings.lines += numbered.count_records(clean)
            findings.bytes += numbered.chunk.end - numbered.chunk.start
            advance(numbered.chunk.end - numbered.chunk.start)
            for rejection in clean.rejected:
                findings.invalid[str(rejection.reason)] += 1
                if len(findings.invalid_lines) < INVALID_LINES_KEPT:
                    findings.invalid_lines.append(
                        (numbered.line_number(rejection), str(rejection.reason))
                    )
            for rule, count in clean.redactions:
                (findings.pii if rule in self._personal else findings.secrets)[rule] += count
                if rule in self._allowed:
                    findings.pii_allowed[rule] += count
            if clean.redactions:
                findings.matches += _matches(numbered, clean, MATCHES_KEPT - len(findings.matches))


def _matches(numbered: NumberedChunk, clean: CleanChunk, limit: int) -> list[RuleMatch]:
    """Return the first `limit` positions of markers that the redaction put into clean lines."""
    found: list[RuleMatch] = []
    data = numbered.chunk.data
    for position, left in zip(line_positions(clean, data), clean.data.split(b"\n"), strict=False):
        number, start = numbered.first_line + position.number, position.offset - clean.start
        line = data[start : start + position.length]
        if left != line:
            found += [
                RuleMatch(rule, number, path)
                for rule, path in (_marks(left) - _marks(line)).elements()
            ]
        if len(found) >= limit:
            break
    return found[:limit]


def _marks(line: bytes) -> Counter[tuple[str, str]]:
    marks = list(_MARK.finditer(line))
    paths = key_paths(line, [match.start() for match in marks])
    return Counter(
        (match.group(1).decode(), path) for match, path in zip(marks, paths, strict=True)
    )


def _is_archive(path: str) -> bool:
    return compression_by_name(path) != "none"


def _nothing(_count: int) -> None:
    """Ignore the bytes of an archive, which are not those on disk."""
