"""`quarantine list|show|redrive|drop`: the rejected lines, and what is to be done with them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing

from tracesidecar.cli.output import complain, print_bytes, print_json, print_line, print_table
from tracesidecar.config import Configuration, load_to_read
from tracesidecar.errors import ConfigurationError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.introspect.rejected_lines import RejectedLineReport, report_rejected_lines
from tracesidecar.journal import Journal, discard_sealed, is_locked, unseal
from tracesidecar.sanitize import escape_unprintable, printable
from tracesidecar.units import format_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the four actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|redrive|drop")
    listing = actions.add_parser("list", help="all rejected lines, oldest first")
    show = actions.add_parser("show", help="one rejected line")
    show.add_argument("ids", type=int, nargs=1, metavar="ID")
    show.add_argument(
        "--identity",
        metavar="FILE",
        help="private keys of age: print the content of the line, if it is sealed",
    )
    redrive = actions.add_parser(
        "redrive",
        help="deliver rejected lines after all, by the current rules, once; "
        "the bytes must still be in their file",
    )
    redrive.add_argument("ids", type=int, nargs="*", metavar="ID")
    redrive.add_argument("--all", action="store_true", help="all of them")
    drop = actions.add_parser(
        "drop", help="forget rejected lines; a file that is kept only for them is released"
    )
    drop.add_argument("ids", type=int, nargs="+", metavar="ID")
    for action in (listing, show, redrive, drop):
        action.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Find the entries that are named, and do what is asked."""
    configuration = load_to_read(arguments.config, os.environ)
    if arguments.action == "redrive" and bool(arguments.ids) == arguments.all:
        complain("tracesidecar quarantine redrive: name the entries, or give --all")
        return ExitCode.USAGE
    reads = arguments.action in ("list", "show")
    state = configuration.state_directory
    with closing(
        Journal.open_to_read(state) if reads else Journal.open_to_request(state)
    ) as journal:
        entries = report_rejected_lines(configuration, journal)
        known = {found.entry.id for found in entries}
        wanted = set(getattr(arguments, "ids", None) or known)
        if unknown := wanted - known:
            complain(
                f"tracesidecar quarantine: there is no entry {', '.join(map(str, sorted(unknown)))}"
            )
            return ExitCode.USAGE
        chosen = [found for found in entries if found.entry.id in wanted]
        if arguments.action == "redrive":
            return _redrive(configuration, journal, chosen, as_json=arguments.json)
        if arguments.action == "drop":
            return _drop(configuration, journal, chosen, as_json=arguments.json)
    if arguments.action == "list":
        return _list(chosen, as_json=arguments.json)
    if arguments.identity is not None:
        return _open(configuration, chosen[0], arguments.identity)
    return _show(chosen[0], as_json=arguments.json)


def _list(entries: Sequence[RejectedLineReport], *, as_json: bool) -> int:
    if as_json:
        print_json({"quarantine": [found.document for found in entries]})
    elif entries:
        columns = (
            "id",
            "when",
            "source",
            "file",
            "from byte",
            "to byte",
            "reason",
            "rejected by",
            "bytes",
        )
        print_table("Rejected lines", columns, [found.row for found in entries])
    else:
        print_line("no line is in quarantine")
    return ExitCode.DONE


def _show(found: RejectedLineReport, *, as_json: bool) -> int:
    if as_json:
        print_json(found.document)
        return ExitCode.DONE
    for key, value in found.document.items():
        print_line(f"{key:<12}{', '.join(value) if isinstance(value, list) else value}")
    print_line(f"{'length':<12}{format_bytes(found.entry.line.end - found.entry.line.start)}")
    return ExitCode.DONE


def _open(configuration: Configuration, found: RejectedLineReport, identity: str) -> int:
    """Print the content of a sealed line as it is; escape control characters on a terminal."""
    line = found.entry.line
    if not found.is_sealed:
        complain(
            f"tracesidecar quarantine show: entry {found.entry.id} is not sealed: "
            "its bytes are at most in the file"
        )
        return ExitCode.USAGE
    try:
        with open(identity, encoding="utf-8") as file:
            keys = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the identity file {printable(identity)} cannot be read ({type(error).__name__})"
        ) from error
    content = unseal(
        configuration.state_directory, line.sealed, line.sealed_at, line.end - line.start, keys
    )
    if sys.stdout.isatty():
        content = escape_unprintable(os.fsdecode(content)).encode()
    print_bytes(content + b"\n")
    return ExitCode.DONE


def _redrive(
    configuration: Configuration,
    journal: Journal,
    chosen: Sequence[RejectedLineReport],
    *,
    as_json: bool,
) -> int:
    """Record the request; the running daemon serves it, or the next run."""
    requests, gone, without_sink = {}, [], []
    for found in chosen:
        line = found.entry.line
        sinks = [
            sink.name
            for sink in configuration.sink
            if sink.takes(line.source) and line.sink in ("", sink.name)
        ]
        if found.bytes != "source":
            gone.append(found.entry.id)
        elif not sinks:
            without_sink.append(found.entry.id)
        else:
            requests[found.entry.id] = sinks
    journal.redrive_requests.add(requests)
    running = is_locked(configuration.state_directory)
    if as_json:
        print_json(
            {
                "asked": list(requests),
                "bytes_gone": gone,
                "no_sink": without_sink,
                "running": running,
            }
        )
    else:
        _print_redrive(list(requests), gone, without_sink, running=running)
    return ExitCode.LEFT_BEHIND if gone or without_sink else ExitCode.DONE


def _print_redrive(
    requested: list[int], gone: list[int], without_sink: list[int], *, running: bool | None
) -> None:
    for entry in gone:
        complain(f"{entry}: bytes gone: the file no longer has them, so they cannot be delivered")
    for entry in without_sink:
        complain(f"{entry}: no sink of the configuration takes it")
    when = "now" if running else "by the next run or ship --once"
    print_line(
        f"{len(requested)} rejected line{'' if len(requested) == 1 else 's'} will be delivered "
        f"{when}, if the current rules accept {'it' if len(requested) == 1 else 'them'}"
    )


def _drop(
    configuration: Configuration,
    journal: Journal,
    chosen: Sequence[RejectedLineReport],
    *,
    as_json: bool,
) -> int:
    dropped = [found.entry.id for found in chosen]
    journal.quarantine.drop(dropped)
    discard_sealed(
        configuration.state_directory,
        {found.entry.line.sealed for found in chosen} - journal.quarantine.list_sealed_files(),
    )
    if as_json:
        print_json({"dropped": dropped})
    else:
        print_line(f"dropped: {', '.join(map(str, dropped))}")
    return ExitCode.DONE
