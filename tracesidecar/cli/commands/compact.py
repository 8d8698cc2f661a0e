"""`compact SINK --before DATE`: replace many small objects by few large Parquet files."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime

from tracesidecar.batch import ManifestObject
from tracesidecar.cli.lake_argument import find_objects_being_sent, open_readable, readable_sink
from tracesidecar.cli.output import complain, print_json, print_line, print_table
from tracesidecar.config import Configuration, load_to_read
from tracesidecar.errors import SinkError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.extras import install_command
from tracesidecar.journal import hold_lock, prepare_state_directory
from tracesidecar.lake import MIN_MEMORY_BYTES, CannotRewrite, Compacted, Compactor, RewriteLimits
from tracesidecar.masking import Mask
from tracesidecar.sanitize import printable
from tracesidecar.sinks import SinkOptions
from tracesidecar.units import Size, format_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sink, the days, and the limits."""
    parser.add_argument(
        "sink", metavar="SINK", help="a sink of the configuration that keeps events as objects"
    )
    parser.add_argument(
        "--before",
        metavar="DATE",
        type=date.fromisoformat,
        required=True,
        help="rewrite the days before this one, which must be over",
    )
    parser.add_argument(
        "--target",
        metavar="SIZE",
        type=Size.parse,
        default=Size.parse("256MiB"),
        help="the size that a file should have (256MiB)",
    )
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        type=Size.parse,
        default=Size.parse("1GiB"),
        help="the memory that the rewrite may take (1GiB); the rest goes to disk",
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would be rewritten")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Rewrite the partitions and return the exit code.

    Return 65 if a partition was left as it is because something is wrong with it, 75 if the
    store cannot be used now.
    """
    configuration = load_to_read(arguments.config, os.environ)
    sink = readable_sink(configuration, arguments.sink, "compact")
    if sink is None or not _is_possible(arguments):
        return ExitCode.USAGE
    try:
        with Mask.of(sink).in_force():
            done = _compact(configuration, sink, arguments)
    except SinkError as error:
        complain(f"tracesidecar compact: {error}; the next run resumes it")
        return ExitCode.LEFT_BEHIND
    except CannotRewrite as error:
        complain(f"tracesidecar compact: {printable(str(error))}")
        return ExitCode.QUARANTINED
    if conflicts := sum(each.conflicts for each in done):
        complain(
            f"tracesidecar compact: {conflicts} events have an id that another line has; they are "
            "kept under derived ids, see who wrote the same ids (docs/security.md)"
        )
    if arguments.json:
        print_json(
            {
                "sink": sink.name,
                "before": str(arguments.before),
                "partitions": [_document(each) for each in done],
            }
        )
    else:
        _print(done)
    return ExitCode.QUARANTINED if any(each.obstacle for each in done) else ExitCode.DONE


def _is_possible(arguments: argparse.Namespace) -> bool:
    if arguments.before > datetime.now(UTC).date():
        complain(
            f"tracesidecar compact: {arguments.before} is not over yet: "
            "only days that are over can be rewritten"
        )
        return False
    if arguments.memory < MIN_MEMORY_BYTES:
        complain(
            f"tracesidecar compact: --memory must be at least {format_bytes(MIN_MEMORY_BYTES)}"
        )
        return False
    if importlib.util.find_spec("pyarrow") is None:
        complain(f"tracesidecar compact: it needs pyarrow; run: {install_command('parquet')}")
        return False
    return True


def _compact(
    configuration: Configuration, sink: SinkOptions, arguments: argparse.Namespace
) -> list[Compacted]:
    store = open_readable(sink)
    prepare_state_directory(configuration.state_directory)
    with closing(store), hold_lock(configuration.state_directory, "compact.lock"):
        compactor = Compactor(
            store, configuration.state_directory, RewriteLimits(arguments.memory, arguments.target)
        )
        before, busy = str(arguments.before), find_objects_being_sent(configuration, sink.name)
        if arguments.dry_run:
            return [
                Compacted(partition, objects)
                for partition, objects in compactor.plan(before, busy).items()
            ]
        return list(compactor.run(before, busy))


def _document(done: Compacted) -> dict[str, object]:
    return {
        "dt": done.partition.dt,
        "dialect": done.partition.dialect,
        "before": _sums(done.before),
        "after": _sums(done.after),
        "duplicates": done.duplicates,
        "conflicts": done.conflicts,
        "refused": printable(done.obstacle) or None,
    }


def _sums(objects: tuple[ManifestObject, ...]) -> dict[str, int]:
    return {
        "objects": len(objects),
        "rows": sum(each.rows for each in objects),
        "bytes": sum(each.bytes for each in objects),
    }


def _print(done: Iterable[Compacted]) -> None:
    rows = [
        (
            each.partition.dt,
            each.partition.dialect,
            *_short(each.before),
            "→",
            *_short(each.after),
            each.duplicates,
            each.conflicts,
            printable(each.obstacle),
        )
        for each in done
    ]
    if not rows:
        print_line("nothing to rewrite")
        return
    print_table(
        "Partitions",
        (
            *("day", "dialect", "objects", "size", "", "objects", "size", "duplicates"),
            *("id conflicts", "left as it is"),
        ),
        rows,
    )


def _short(objects: tuple[ManifestObject, ...]) -> tuple[int, str]:
    return len(objects), format_bytes(sum(each.bytes for each in objects))
