"""`quarantine list|show ID`: the refused lines, by place and reason; never what they say."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from datetime import UTC, datetime

from tracesidecar.cli.exit_codes import ExitCode
from tracesidecar.cli.output import complain, print_json, print_line, print_table, size
from tracesidecar.config.load import load_to_read
from tracesidecar.logs import printable
from tracesidecar.sanitize.refusals import Reason
from tracesidecar.ship.journal import Journal
from tracesidecar.ship.quarantine import QuarantineEntry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `list` and `show`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show")
    listing = actions.add_parser("list", help="all refused lines, oldest first")
    show = actions.add_parser("show", help="one refused line")
    show.add_argument("id", type=int, metavar="ID")
    for action in (listing, show):
        action.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Read the journal and print."""
    configuration = load_to_read(arguments.config, os.environ)
    with closing(Journal.open_to_read(configuration.state_directory)) as journal:
        entries = journal.quarantine(arguments.id if arguments.action == "show" else None)
    if arguments.action == "list":
        return _list(entries, as_json=arguments.json)
    if not entries:
        complain(f"tracesidecar quarantine: there is no entry {arguments.id}")
        return ExitCode.USAGE
    return _show(entries[0], as_json=arguments.json)


def _list(entries: list[QuarantineEntry], *, as_json: bool) -> int:
    if as_json:
        print_json({"quarantine": [_document(entry) for entry in entries]})
    elif entries:
        columns = ("id", "when", "source", "file", "from byte", "to byte", "reason", "refused by")
        print_table("Refused lines", columns, [_row(entry) for entry in entries])
    else:
        print_line("no line has been refused")
    return 0


def _show(entry: QuarantineEntry, *, as_json: bool) -> int:
    document = _document(entry)
    if as_json:
        print_json(document)
        return 0
    for key, value in document.items():
        print_line(f"{key:<12}{value}")
    print_line(f"{'length':<12}{size(entry.line.end - entry.line.start)}")
    return 0


def _row(entry: QuarantineEntry) -> tuple[object, ...]:
    line = entry.line
    return entry.id, _when(entry), line.source, printable(line.path), line.start, line.end, line.reason, line.sink or "validation"


def _document(entry: QuarantineEntry) -> dict[str, object]:
    line = entry.line
    return {
        "id": entry.id,
        "at": _when(entry),
        "source": line.source,
        "path": printable(line.path),
        "generation": line.generation,
        "start": line.start,
        "end": line.end,
        "reason": line.reason,
        "meaning": _meaning(line.reason),
        "sink": line.sink or None,
    }


def _meaning(reason: str) -> str:
    return next((known.meaning for known in Reason if known == reason), "The destination refused it.")


def _when(entry: QuarantineEntry) -> str:
    return datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
