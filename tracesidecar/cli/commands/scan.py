"""`scan PATH…`: preview what would be rejected and redacted, and where, but never the values."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields

from tracesidecar.cli.output import complain, print_json, print_line, print_table, progress
from tracesidecar.config import load_to_read
from tracesidecar.exit_codes import ExitCode
from tracesidecar.introspect.scan import FileFindings, FileScanner, RuleMatch, trace_files
from tracesidecar.introspect.usage_totals import UsageSum
from tracesidecar.sanitize import printable
from tracesidecar.units import format_bytes

REJECTED_LINES_SHOWN = 20
MATCHES_SHOWN = 3
_COUNTERS = ("invalid", "secrets", "pii", "pii_not_cut")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the paths, `--json` and `--strict`."""
    parser.add_argument(
        "path",
        nargs="+",
        metavar="PATH",
        help="a file, or a directory with .jsonl files (.gz and .zst too)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with 65 if a secret, personal data or a line that would be rejected was found, "
        "or a file could not be read",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Scan every file and print the findings."""
    redaction = load_to_read(arguments.config, os.environ).redaction
    missing = [path for path in arguments.path if not os.path.exists(path)]
    for path in missing:
        complain(f"tracesidecar scan: {printable(path)} does not exist")
    if missing:
        return ExitCode.USAGE
    files = list(trace_files(arguments.path))
    with progress(sum(_size(file.path) for file in files)) as advance:
        scanner = FileScanner(redaction)
        if scanner.cache_trouble:
            complain(f"tracesidecar scan: {scanner.cache_trouble}: the rules are compiled again")
        findings = scanner.with_totals(scanner.scan(files, advance))
    if arguments.json:
        print_json(_document(findings))
    else:
        _print(findings)
    is_clean = all(found.is_clean for found in findings)
    return ExitCode.DONE if is_clean or not arguments.strict else ExitCode.QUARANTINED


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _document(findings: Iterable[FileFindings]) -> dict[str, object]:
    files = [
        {
            "path": found.path,
            "lines": found.lines,
            "bytes": found.bytes,
            "invalid_lines": [
                {"line": line, "reason": reason} for line, reason in found.invalid_lines
            ],
            **{name: dict(counter) for name, counter in _counters(found)},
            "places": [match._asdict() for match in found.matches],
            "dialect": found.dialect,
            **asdict(found.usage),
            "trouble": found.trouble,
        }
        for found in findings
    ]
    return {"files": files, "total": _total(findings)}


def _counters(found: FileFindings) -> Iterator[tuple[str, Counter[str]]]:
    yield from zip(
        _COUNTERS, (found.invalid, found.secrets, found.pii, found.pii_allowed), strict=True
    )


def _total(findings: Iterable[FileFindings]) -> dict[str, object]:
    totals = {name: Counter[str]() for name in _COUNTERS}
    lines = byte_count = 0
    for found in findings:
        lines += found.lines
        byte_count += found.bytes
        for name, counter in _counters(found):
            totals[name] += counter
    usage = [asdict(found.usage) for found in findings]
    sums = {field.name: sum(each[field.name] for each in usage) for field in fields(UsageSum)}
    return {
        "lines": lines,
        "bytes": byte_count,
        **{name: dict(counter) for name, counter in totals.items()},
        **sums,
    }


def _print(findings: list[FileFindings]) -> None:
    if not findings:
        print_line("no .jsonl files there")
        return
    columns = (
        "file",
        "dialect",
        "lines",
        "size",
        "invalid",
        "secrets",
        "personal data",
        "calls",
        "tokens in",
        "tokens out",
        "USD",
        "trouble",
    )
    print_table("Files", columns, [_row(found) for found in findings])
    found_rows = [row for found in findings for row in _rows(found)]
    if found_rows:
        print_table(
            "What was found",
            ("file", "rule", "kind", "count", "would be", "line and keys"),
            found_rows,
        )
    if any(found.pii_allowed for found in findings):
        print_line(
            'Personal data is allowed where the table says so; "pii" in [redaction] changes that.'
        )
    for found in findings:
        for line, reason in found.invalid_lines[:REJECTED_LINES_SHOWN]:
            print_line(f"{found.path}:{line}: {reason}")


def _row(found: FileFindings) -> tuple[str | int, ...]:
    usage = found.usage
    spent = (
        f"{usage.cost_usd:.2f}{f' + {usage.unpriced} unpriced' if usage.unpriced else ''}"
        if usage.calls
        else ""
    )
    counts = (
        found.invalid.total(),
        found.secrets.total(),
        found.pii.total(),
        usage.calls,
        usage.input_tokens,
        usage.output_tokens,
    )
    return (
        found.path,
        found.dialect,
        found.lines,
        format_bytes(found.bytes),
        *counts,
        spent,
        found.trouble,
    )


def _rows(found: FileFindings) -> Iterator[tuple[str, str, str, int, str, str]]:
    kinds = (
        ("secret", "redacted", found.secrets),
        ("personal data", "redacted", found.pii - found.pii_allowed),
        ("personal data", "allowed", found.pii_allowed),
    )
    for kind, fate, counter in kinds:
        for rule, count in counter.most_common():
            yield (
                found.path,
                rule,
                kind,
                count,
                fate,
                _locations([match for match in found.matches if match.rule == rule], count),
            )


def _locations(matches: list[RuleMatch], count: int) -> str:
    shown = [f"{match.line}:{match.path}" for match in matches[:MATCHES_SHOWN]]
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")
