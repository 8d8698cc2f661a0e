"""`recover SINK`: after a lost state directory, find out from the store what has arrived."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack, closing
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tracesidecar.cli.lake_argument import open_readable, readable_sink
from tracesidecar.cli.output import complain, print_json, print_line, print_table
from tracesidecar.config import Configuration, load_to_read
from tracesidecar.errors import SinkError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.journal import (
    JOURNAL_NAME,
    Journal,
    hold_lock,
    load_deliveries,
    prepare_state_directory,
    save_deliveries,
)
from tracesidecar.masking import Mask
from tracesidecar.sanitize import printable
from tracesidecar.sinks import SinkOptions, destination_key_of

if TYPE_CHECKING:
    from tracesidecar.daemon.recoverer import Recoverer, Recovery


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sink and the options."""
    parser.add_argument(
        "sink", metavar="SINK", help="a sink of the configuration that keeps objects"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be recovered, and write nothing"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace what the journal knows of this sink already",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="go on although manifests cannot be read: what only they have is delivered again",
    )
    parser.add_argument(
        "--host", metavar="NAME", help="whose manifests count, if this machine had another name"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Rebuild the offsets; return 65 if a manifest cannot be read."""
    configuration = load_to_read(arguments.config, os.environ)
    sink = readable_sink(configuration, arguments.sink, "recover")
    if sink is None:
        return ExitCode.USAGE
    directory = configuration.state_directory
    with ExitStack() as stack:
        if arguments.dry_run and not os.path.exists(os.path.join(directory, JOURNAL_NAME)):
            # a dry run writes nothing there, and the directory may be somebody else's
            directory = stack.enter_context(TemporaryDirectory(prefix="tracesidecar-"))
        prepare_state_directory(directory)
        stack.enter_context(hold_lock(directory))
        journal = stack.enter_context(closing(Journal.open(directory)))
        return _rebuild(configuration, sink, journal, directory, arguments)


def _rebuild(
    configuration: Configuration,
    sink: SinkOptions,
    journal: Journal,
    directory: str,
    arguments: argparse.Namespace,
) -> int:
    from tracesidecar.daemon.recoverer import Recoverer, save

    if journal.sinks.has_begun(sink.name) and not arguments.force:
        complain(
            f"tracesidecar recover: the journal in {printable(directory)} knows already what "
            f"sink {sink.name} has: give --force to replace that by what the store says"
        )
        return ExitCode.USAGE
    recoverer = Recoverer(
        configuration, sink, key=journal.key, state_directory=directory, host=arguments.host
    )
    before = load_deliveries(directory)
    if not arguments.dry_run:
        # whatever ends this before it is saved: the next run asks, and begins nothing again
        journal.note_deliveries({sink.name: destination_key_of(sink)})
    try:
        with Mask.of(sink).in_force():
            recovery = _recover(recoverer, sink)
    except SinkError as error:
        complain(f"tracesidecar recover: {error}")
        return ExitCode.LEFT_BEHIND
    if not recovery.manifests and not recovery.unreadable:
        if not arguments.dry_run:
            save_deliveries(directory, before)
        others = ", ".join(map(printable, recovery.other_hosts))
        complain(
            f"tracesidecar recover: sink {sink.name} has no manifest of host "
            + printable(recoverer.host)
            + (f"; give --host for one of {others}" if others else "")
        )
        return ExitCode.USAGE
    saves = not arguments.dry_run and (arguments.partial or not recovery.unreadable)
    if saves:
        save(journal, sink, recovery)
        if recovery.unreadable:
            journal.notices.add("sink.recovered_in_part", _describe_gap(sink, recovery))
    _report(arguments, sink, recovery, saves=saves)
    return ExitCode.QUARANTINED if recovery.unreadable else ExitCode.DONE


def _describe_gap(sink: SinkOptions, recovery: Recovery) -> str:
    return (
        f"{len(recovery.unreadable)} manifests of sink {sink.name} could not be read, and it was "
        "recovered from the others (--partial): what only those had is delivered again"
    )


def _recover(recoverer: Recoverer, sink: SinkOptions) -> Recovery:
    store = open_readable(sink)
    with closing(store):
        return recoverer.run(store)


def _report(
    arguments: argparse.Namespace, sink: SinkOptions, recovery: Recovery, *, saves: bool
) -> None:
    for name in recovery.unreadable:
        complain(f"tracesidecar recover: {printable(name)} is not a manifest")
    if recovery.unreadable and arguments.partial:
        complain(f"tracesidecar recover: {_describe_gap(sink, recovery)}")
    elif recovery.unreadable:
        complain(
            "tracesidecar recover: nothing was saved, because what these manifests say has arrived "
            "would be delivered again: restore them (an earlier version in the store, a backup) "
            "and recover again, or give --partial to go on without them"
        )
    if arguments.json:
        print_json(_document(sink, recovery, is_dry_run=arguments.dry_run, is_saved=saves))
        return
    if recovery.missing:
        print_table(
            "Delivered, but not found on this disk",
            ("source", "file", "bytes", "why"),
            [
                (printable(each.source), printable(each.path), each.end, each.why)
                for each in recovery.missing
            ],
        )
    behind = sum(
        max(0, each.record.size - each.reached.offset)
        for each in recovery.found
        if each.record.compression == "none"
    )
    verb = "are" if saves else "would be"
    print_line(
        f"{sink.name}: {len(recovery.found)} files {verb} known again from "
        f"{recovery.manifests} manifests, {len(recovery.missing)} were not found; "
        f"{behind} bytes of them are still to be delivered by the next run"
    )


def _document(
    sink: SinkOptions, recovery: Recovery, *, is_dry_run: bool, is_saved: bool
) -> dict[str, object]:
    return {
        "sink": sink.name,
        "dry_run": is_dry_run,
        "saved": is_saved,
        "manifests": recovery.manifests,
        "unreadable": [printable(name) for name in recovery.unreadable],
        "other_hosts": [printable(name) for name in recovery.other_hosts],
        "recovered": [
            {
                "segment": each.record.id,
                "source": each.record.source,
                "path": printable(each.record.path),
                "end": each.reached.offset,
                "size": each.record.size,
                "refused": len(each.quarantined),
            }
            for each in recovery.found
        ],
        "not_found": [
            {
                "segment": each.segment,
                "source": printable(each.source),
                "path": printable(each.path),
                "end": each.end,
                "why": each.why,
            }
            for each in recovery.missing
        ],
    }
