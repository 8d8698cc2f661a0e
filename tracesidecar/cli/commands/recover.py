"""`recover SINK`: after a lost state directory, find out from the store what has arrived."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from typing import TYPE_CHECKING

from tracesidecar.cli.lake_argument import readable_sink
from tracesidecar.cli.output import complain, print_json, print_line, print_table
from tracesidecar.config import load_to_read
from tracesidecar.errors import SinkError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.journal import Journal, hold_lock, prepare_state_directory
from tracesidecar.masking import Mask
from tracesidecar.sanitize import printable
from tracesidecar.sinks import SinkOptions, open_stored_objects

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
        "--host", metavar="NAME", help="whose manifests count, if this machine had another name"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Rebuild the offsets; return 65 if a manifest cannot be read."""
    configuration = load_to_read(arguments.config, os.environ)
    sink = readable_sink(configuration, arguments.sink, "recover")
    if sink is None:
        return ExitCode.USAGE
    from tracesidecar.daemon.recoverer import Recoverer, save

    directory = configuration.state_directory
    prepare_state_directory(directory)
    with hold_lock(directory), closing(Journal.open(directory)) as journal:
        if journal.sinks.has_begun(sink.name) and not arguments.force:
            complain(
                f"tracesidecar recover: the journal in {printable(directory)} knows already what "
                f"sink {sink.name} has: give --force to replace that by what the store says"
            )
            return ExitCode.USAGE
        recoverer = Recoverer(configuration, sink, key=journal.key, host=arguments.host)
        try:
            with Mask.of(sink).in_force():
                recovery = _recover(recoverer, sink)
        except SinkError as error:
            complain(f"tracesidecar recover: {error}")
            return ExitCode.LEFT_BEHIND
        if not recovery.manifests:
            others = ", ".join(map(printable, recovery.other_hosts))
            complain(
                f"tracesidecar recover: sink {sink.name} has no manifest of host "
                + printable(recoverer.host)
                + (f"; give --host for one of {others}" if others else "")
            )
            return ExitCode.USAGE
        if not arguments.dry_run:
            save(journal, sink, recovery)
    _report(arguments, sink, recovery)
    return ExitCode.QUARANTINED if recovery.unreadable else ExitCode.DONE


def _recover(recoverer: Recoverer, sink: SinkOptions) -> Recovery:
    store = open_stored_objects(sink)
    if store is None:
        raise AssertionError("readable_sink returned a sink that cannot be read back")
    with closing(store):
        return recoverer.run(store)


def _report(arguments: argparse.Namespace, sink: SinkOptions, recovery: Recovery) -> None:
    if arguments.json:
        print_json(_document(sink, recovery, is_dry_run=arguments.dry_run))
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
    for name in recovery.unreadable:
        complain(f"tracesidecar recover: {printable(name)} is not a manifest")
    behind = sum(
        max(0, each.record.size - each.reached.offset)
        for each in recovery.found
        if each.record.compression == "none"
    )
    verb = "would be" if arguments.dry_run else "are"
    print_line(
        f"{sink.name}: {len(recovery.found)} files {verb} known again from "
        f"{recovery.manifests} manifests, {len(recovery.missing)} were not found; "
        f"{behind} bytes of them are still to be delivered by the next run"
    )


def _document(sink: SinkOptions, recovery: Recovery, *, is_dry_run: bool) -> dict[str, object]:
    return {
        "sink": sink.name,
        "dry_run": is_dry_run,
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
