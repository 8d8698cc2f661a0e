"""`scan PATH…`: a dry run over files that says what would be refused and cut, never what it was."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterable

from tracesidecar.cli.examine import Findings, examine, trace_files
from tracesidecar.cli.exit_codes import ExitCode
from tracesidecar.cli.output import complain, print_json, print_line, print_table, progress, size
from tracesidecar.config.load import load_to_read
from tracesidecar.logs import printable

REFUSED_LINES_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the paths and `--json`."""
    parser.add_argument("path", nargs="+", metavar="PATH", help="a file, or a directory with .jsonl files (.gz and .zst too)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Examine every file and report."""
    redaction = load_to_read(arguments.config, os.environ).redaction
    missing = [path for path in arguments.path if not os.path.exists(path)]
    for path in missing:
        complain(f"tracesidecar scan: {printable(path)} does not exist")
    if missing:
        return ExitCode.USAGE
    files = list(trace_files(arguments.path))
    with progress(sum(map(_size, files))) as advance:
        findings = list(examine(files, redaction, advance))
    if arguments.json:
        print_json(_document(findings))
    else:
        _tell(findings)
    return 0


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _document(findings: Iterable[Findings]) -> dict[str, object]:
    files = [
        {
            "path": printable(found.path),
            "lines": found.lines,
            "bytes": found.bytes,
            "invalid_lines": [{"line": line, "reason": reason} for line, reason in found.invalid_lines],
            "invalid": dict(found.invalid),
            "secrets": dict(found.secrets),
            "pii": dict(found.pii),
            "trouble": found.trouble,
        }
        for found in findings
    ]
    return {"files": files, "total": _total(findings)}


def _total(findings: Iterable[Findings]) -> dict[str, object]:
    invalid: Counter[str] = Counter()
    secrets: Counter[str] = Counter()
    pii: Counter[str] = Counter()
    lines = byte_count = 0
    for found in findings:
        lines += found.lines
        byte_count += found.bytes
        invalid += found.invalid
        secrets += found.secrets
        pii += found.pii
    return {"lines": lines, "bytes": byte_count, "invalid": dict(invalid), "secrets": dict(secrets), "pii": dict(pii)}


def _tell(findings: list[Findings]) -> None:
    rows = [(printable(f.path), f.lines, size(f.bytes), f.invalid.total(), f.secrets.total(), f.pii.total(), f.trouble) for f in findings]
    print_table("Files", ("file", "lines", "size", "invalid", "secrets", "personal data", "trouble"), rows)
    kinds = [("secret", Counter[str]()), ("personal data", Counter[str]()), ("invalid line", Counter[str]())]
    for found in findings:
        for (_, counter), counted in zip(kinds, (found.secrets, found.pii, found.invalid), strict=True):
            counter.update(counted)
    found_kinds = [(kind, name, count) for kind, counter in kinds for name, count in counter.most_common()]
    if found_kinds:
        print_table("What was found", ("kind", "rule or reason", "count"), found_kinds)
    for found in findings:
        for line, reason in found.invalid_lines[:REFUSED_LINES_SHOWN]:
            print_line(f"{printable(found.path)}:{line}: {reason}")
    if not findings:
        print_line("no .jsonl files there")
