"""Put whole files through validation and redaction and keep only counts."""

from __future__ import annotations

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

import msgspec
import zstandard

from tracesidecar.cli.chunks import chunks
from tracesidecar.collect.descriptors import open_regular
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.rules import load_catalogue
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.units import Size

MAX_LINE = Size.parse("64MiB")
INVALID_LINES_KEPT = 1000
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")


@dataclass(slots=True)
class Findings:
    """What a file holds, in counts. `invalid_lines` are (line number, reason), the first thousand; `trouble` says why reading ended early."""

    path: str
    lines: int = 0
    bytes: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    invalid_lines: list[tuple[int, str]] = field(default_factory=list)
    secrets: Counter[str] = field(default_factory=Counter)
    pii: Counter[str] = field(default_factory=Counter)
    trouble: str = ""


def trace_files(paths: Iterable[str]) -> Iterator[str]:
    """Name the files meant: those given, and the trace files in the directories given."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, subfolders, names in os.walk(path):
            subfolders.sort()
            yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(SUFFIXES))


def examine(paths: Iterable[str], redaction: RedactionOptions, advance: Callable[[int], object]) -> Iterator[Findings]:
    """Examine one file after the other; personal data is counted whether or not the configuration cuts it.

    `advance` hears of bytes done: of a plain file as they are, of an archive when it is over.
    """
    personal = {rule.id for rule in load_catalogue().rule if rule.category == "pii"}
    sanitize = Sanitizer(msgspec.structs.replace(redaction, pii=redaction.pii or True))
    for path in paths:
        findings = Findings(path)
        try:
            with _opened(path) as file:
                _examine(file, findings, sanitize, personal, _nothing if _is_archive(path) else advance)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            findings.trouble = (error.strerror if isinstance(error, OSError) else None) or "damaged archive"
        if _is_archive(path):
            advance(os.path.getsize(path))
        yield findings


def _examine(file: BinaryIO, findings: Findings, sanitize: Sanitizer, personal: set[str], advance: Callable[[int], object]) -> None:
    for numbered in chunks(findings.path, file.read, MAX_LINE):
        clean = sanitize(numbered.chunk)
        findings.lines += numbered.lines
        findings.bytes += numbered.chunk.end - numbered.chunk.start
        advance(numbered.chunk.end - numbered.chunk.start)
        for refusal in clean.refused:
            findings.invalid[str(refusal.reason)] += 1
            if len(findings.invalid_lines) < INVALID_LINES_KEPT:
                findings.invalid_lines.append((numbered.line_number(refusal), str(refusal.reason)))
        for rule, count in clean.cuts:
            (findings.pii if rule in personal else findings.secrets)[rule] += count


def _is_archive(path: str) -> bool:
    return path.endswith((".gz", ".zst"))


def _nothing(_count: int) -> None:
    """Bytes of an archive are not those on disk."""


def _opened(path: str) -> BinaryIO:
    file = os.fdopen(open_regular(path), "rb")
    if path.endswith(".gz"):
        return cast("BinaryIO", gzip.open(file))
    if path.endswith(".zst"):
        return cast("BinaryIO", zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
    return file
