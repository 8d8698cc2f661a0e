"""Put whole files through validation and redaction and keep only counts and places."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, cast

import msgspec
import zstandard

from tracesidecar.config import rules_cache
from tracesidecar.introspect.chunks import NumberedChunk, chunks
from tracesidecar.introspect.usage_totals import Sum, Tally
from tracesidecar.logs import printable
from tracesidecar.model import CleanChunk
from tracesidecar.sanitize import (
    RedactionOptions,
    Sanitizer,
    active_rules,
    key_paths,
    load_catalogue,
)
from tracesidecar.tail import open_regular
from tracesidecar.units import Size

MAX_LINE = Size.parse("64MiB")
INVALID_LINES_KEPT = 1000
PLACES_KEPT = 1000
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_MARK = re.compile(rb"\[REDACTED:([a-z0-9-]{1,64})")


class Place(NamedTuple):
    """Where a rule found something: the line's number and the path of keys in it (itself redacted)."""

    rule: str
    line: int
    path: str


@dataclass(slots=True)
class Findings:
    """What a file holds: counts, and the first thousand places and refused lines.

    `path` is the name as it may be shown; `dialect` and `usage` are there once all files are read.
    `pii_not_cut` is the part of `pii` that the configuration lets pass. `invalid_lines` are (line
    number, reason); `trouble` says why reading ended early.
    """

    path: str
    lines: int = 0
    bytes: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    invalid_lines: list[tuple[int, str]] = field(default_factory=list)
    secrets: Counter[str] = field(default_factory=Counter)
    pii: Counter[str] = field(default_factory=Counter)
    pii_not_cut: Counter[str] = field(default_factory=Counter)
    places: list[Place] = field(default_factory=list)
    trouble: str = ""
    dialect: str = ""
    usage: Sum = field(default_factory=Sum)

    @property
    def is_clean(self) -> bool:
        """True when all was read, and nothing was found or would be refused."""
        return not (self.invalid or self.secrets or self.pii or self.trouble)


def trace_files(paths: Iterable[str]) -> Iterator[str]:
    """Name the files meant: those given, and the trace files in the directories given."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, subfolders, names in os.walk(path):
            subfolders.sort()
            yield from (
                os.path.join(folder, name) for name in sorted(names) if name.endswith(SUFFIXES)
            )


class Examination:
    """Examines files with every rule for personal data on, whether or not the configuration cuts
    it.
    """

    def __init__(self, redaction: RedactionOptions) -> None:
        catalogue = load_catalogue()
        personal = {rule.id for rule in catalogue.rule if rule.category == "pii"}
        cut = {rule.id for rule in active_rules(catalogue, redaction)}
        self._personal = personal
        self._not_cut = personal - cut
        wanted = tuple(
            rule.id
            for rule in catalogue.rule
            if rule.id in personal and rule.id not in redaction.disable
        )
        self._sanitize = Sanitizer(
            msgspec.structs.replace(redaction, pii=wanted), cache_directory=rules_cache(os.environ)
        )
        self._tally = Tally()

    def findings(
        self, paths: Iterable[str], advance: Callable[[int], object]
    ) -> Iterator[Findings]:
        """Examine one file after the other; `advance` hears of bytes done: of a plain file as they
        are, of an archive when it is over.
        """
        for path in paths:
            findings = Findings(self.name(path))
            try:
                with _opened(path) as file:
                    self._read(path, file, findings, _nothing if _is_archive(path) else advance)
            except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
                findings.trouble = (
                    error.strerror if isinstance(error, OSError) else None
                ) or "damaged archive"
            if _is_archive(path):
                advance(os.path.getsize(path))
            yield findings

    def told(self, findings: Iterable[Findings]) -> list[Findings]:
        """The findings of all files, with their dialects and what their calls add up to."""
        found = list(findings)
        sums = self._tally.sums()
        for each in found:
            each.dialect, each.usage = self._tally.dialect(each.path), sums.get(each.path, Sum())
        return found

    def name(self, path: str) -> str:
        """Return the file name as it may be shown: what the configuration cuts in a trace is cut in
        it.
        """
        redacted = self._sanitize.redact_text(path)
        rules = {
            match.group(1).decode()
            for match in _MARK.finditer(redacted.encode("utf-8", "surrogateescape"))
        }
        return printable(redacted if rules - self._not_cut else path)

    def _read(
        self, path: str, file: BinaryIO, findings: Findings, advance: Callable[[int], object]
    ) -> None:
        self._tally.begin(findings.path)
        for numbered in chunks(path, file.read, MAX_LINE):
            clean = self._sanitize(numbered.chunk)
            self._tally.take(findings.path, numbered.chunk, clean)
            findings.lines += numbered.lines
            findings.bytes += numbered.chunk.end - numbered.chunk.start
            advance(numbered.chunk.end - numbered.chunk.start)
            for refusal in clean.rejected:
                findings.invalid[str(refusal.reason)] += 1
                if len(findings.invalid_lines) < INVALID_LINES_KEPT:
                    findings.invalid_lines.append(
                        (numbered.line_number(refusal), str(refusal.reason))
                    )
            for rule, count in clean.redactions:
                (findings.pii if rule in self._personal else findings.secrets)[rule] += count
                if rule in self._not_cut:
                    findings.pii_not_cut[rule] += count
            if clean.redactions:
                findings.places += _places(numbered, clean, PLACES_KEPT - len(findings.places))


def _places(numbered: NumberedChunk, clean: CleanChunk, limit: int) -> list[Place]:
    """Return where the chunk's lines and the clean ones differ by markers, the first `limit`."""
    found: list[Place] = []
    after = iter(clean.data.split(b"\n"))
    refused = {numbered.line_number(refusal) for refusal in clean.rejected}
    for number, line in enumerate(numbered.chunk.data.split(b"\n"), numbered.first_line):
        if number in refused or not line.strip():
            continue
        left = next(after, b"")
        if left != line:
            found += [
                Place(rule, number, path) for rule, path in (_marks(left) - _marks(line)).elements()
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
    return path.endswith((".gz", ".zst"))


def _nothing(_count: int) -> None:
    """Bytes of an archive are not those on disk."""


def _opened(path: str) -> BinaryIO:
    file = os.fdopen(open_regular(path), "rb")
    if path.endswith(".gz"):
        return cast("BinaryIO", gzip.open(file))
    if path.endswith(".zst"):
        return cast(
            "BinaryIO", zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        )
    return file
