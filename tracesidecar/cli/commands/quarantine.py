"""`quarantine list|show|redrive|drop`: the refused lines, by place and reason, and what is to
become of them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing

from tracesidecar.cli.output import complain, print_json, print_line, print_table
from tracesidecar.config import Configuration, load_to_read
from tracesidecar.errors import ConfigurationError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.introspect.refused_lines import Refused, refused
from tracesidecar.journal import Journal, discard_sealed, is_locked, unseal
from tracesidecar.logs import printable
from tracesidecar.units import format_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the four actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|redrive|drop")
    listing = actions.add_parser("list", help="all refused lines, oldest first")
    show = actions.add_parser("show", help="one refused line")
    show.add_argument("ids", type=int, nargs=1, metavar="ID")
    show.add_argument(
        "--identity",
        metavar="FILE",
        help="private keys of age: print what the line says, where it is sealed",
    )
    redrive = actions.add_parser(
        "redrive",
        help="deliver refused lines after all, by today's rules, once; needs the bytes in their file",
    )
    redrive.add_argument("ids", type=int, nargs="*", metavar="ID")
    redrive.add_argument("--all", action="store_true", help="all of them")
    drop = actions.add_parser(
        "drop", help="forget refused lines; a file that was held for them alone is let go"
    )
    drop.add_argument("ids", type=int, nargs="+", metavar="ID")
    for action in (listing, show, redrive, drop):
        action.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Find the entries that are meant, and do it."""
    configuration = load_to_read(arguments.config, os.environ)
    if arguments.action == "redrive" and bool(arguments.ids) == arguments.all:
        complain("tracesidecar quarantine redrive: name the entries, or say --all")
        return ExitCode.USAGE
    reads = arguments.action in ("list", "show")
    state = configuration.state_directory
    with closing(
        Journal.open_to_read(state) if reads else Journal.open_to_request(state)
    ) as journal:
        entries = refused(configuration, journal)
        wanted = getattr(arguments, "ids", None) or [found.entry.id for found in entries]
        if unknown := set(wanted) - {found.entry.id for found in entries}:
            complain(
                f"tracesidecar quarantine: there is no entry {', '.join(map(str, sorted(unknown)))}"
            )
            return ExitCode.USAGE
        chosen = [found for found in entries if found.entry.id in set(wanted)]
        if arguments.action == "redrive":
            return _redrive(configuration, journal, chosen, as_json=arguments.json)
        if arguments.action == "drop":
            return _drop(configuration, journal, chosen, as_json=arguments.json)
    if arguments.action == "list":
        return _list(chosen, as_json=arguments.json)
    if arguments.identity is not None:
        return _open(configuration, chosen[0], arguments.identity)
    return _show(chosen[0], as_json=arguments.json)


def _list(entries: Sequence[Refused], *, as_json: bool) -> int:
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
            "refused by",
            "bytes",
        )
        print_table("Refused lines", columns, [found.row for found in entries])
    else:
        print_line("no line is in quarantine")
    return ExitCode.DONE


def _show(found: Refused, *, as_json: bool) -> int:
    if as_json:
        print_json(found.document)
        return ExitCode.DONE
    for key, value in found.document.items():
        print_line(f"{key:<12}{', '.join(value) if isinstance(value, list) else value}")
    print_line(f"{'length':<12}{format_bytes(found.entry.line.end - found.entry.line.start)}")
    return ExitCode.DONE


def _open(configuration: Configuration, found: Refused, identity: str) -> int:
    """Print what a sealed line says, byte for byte; on a terminal what could steer it is escaped."""
    line = found.entry.line
    if not found.is_sealed:
        complain(
            f"tracesidecar quarantine show: entry {found.entry.id} is not sealed: its bytes are only in the file, if there"
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
        content = printable(os.fsdecode(content)).encode()
    sys.stdout.buffer.write(content + b"\n")
    return ExitCode.DONE


def _redrive(
    configuration: Configuration, journal: Journal, chosen: Sequence[Refused], *, as_json: bool
) -> int:
    """Write down what is wanted; the process that holds the state directory, or the next one, does
    it.
    """
    wishes, gone, homeless = {}, [], []
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
            homeless.append(found.entry.id)
        else:
            wishes[found.entry.id] = sinks
    journal.redrive_requests.add(wishes)
    running = is_locked(configuration.state_directory)
    if as_json:
        print_json(
            {"asked": list(wishes), "bytes_gone": gone, "no_sink": homeless, "running": running}
        )
    else:
        _tell_redrive(list(wishes), gone, homeless, running=running)
    return ExitCode.LEFT_BEHIND if gone or homeless else ExitCode.DONE


def _tell_redrive(
    asked: list[int], gone: list[int], homeless: list[int], *, running: bool | None
) -> None:
    for entry in gone:
        complain(f"{entry}: bytes gone: the file no longer has them, so they cannot be delivered")
    for entry in homeless:
        complain(f"{entry}: no sink of the configuration takes it")
    when = "now" if running else "by the next run or ship --once"
    print_line(
        f"{len(asked)} refused line{'' if len(asked) == 1 else 's'} will be delivered {when}, if today's rules let them pass"
    )


def _drop(
    configuration: Configuration, journal: Journal, chosen: Sequence[Refused], *, as_json: bool
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
        print_line(f"forgotten: {', '.join(map(str, dropped))}")
    return ExitCode.DONE
