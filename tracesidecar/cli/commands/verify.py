"""`verify SINK`: prove from the destination that every range is there, once and unaltered."""

from __future__ import annotations

import argparse
import os
from contextlib import closing

from tracesidecar.cli.lake_argument import find_objects_being_sent, readable_sink
from tracesidecar.cli.output import complain, print_json, print_line, print_table, progress
from tracesidecar.config import Configuration, load_to_read
from tracesidecar.errors import SinkError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.journal import load_deliveries
from tracesidecar.lake import Proof, SegmentKey, StoreFinding, size_of, verify
from tracesidecar.masking import Mask
from tracesidecar.sanitize import printable
from tracesidecar.sinks import SinkOptions, destination_of, is_key_of, open_stored_objects
from tracesidecar.units import format_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sink and `--json`."""
    parser.add_argument(
        "sink", metavar="SINK", help="a sink of the configuration that keeps objects"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Read the whole store; return 65 if something is wrong, 75 if it cannot be read now."""
    configuration = load_to_read(arguments.config, os.environ)
    sink = readable_sink(configuration, arguments.sink, "verify")
    if sink is None:
        return ExitCode.USAGE
    try:
        with Mask.of(sink).in_force():
            proof = _proof(configuration, sink)
    except SinkError as error:
        complain(f"tracesidecar verify: {error}")
        return ExitCode.LEFT_BEHIND
    if arguments.json:
        print_json(_document(sink, proof))
    else:
        _print(sink, proof)
    return ExitCode.DONE if proof.holds else ExitCode.QUARANTINED


def _proof(configuration: Configuration, sink: SinkOptions) -> Proof:
    store = open_stored_objects(sink)
    if store is None:
        raise AssertionError("readable_sink returned a sink that cannot be read back")
    with closing(store), progress(size_of(store)) as report_read:
        proof = verify(
            store,
            under_way=find_objects_being_sent(configuration, sink.name),
            begins_anywhere=sink.start == "now",
            on_read=report_read,
        )
    delivered = load_deliveries(configuration.state_directory).sinks.get(sink.name)
    if is_key_of(delivered, sink) and all(
        coverage.key.sink != sink.name for coverage in proof.coverages
    ):
        proof.add_problem(
            "missing",
            destination_of(sink),
            f"it has no manifest of sink {sink.name}, which has delivered there from this machine",
        )
    return proof


def _document(sink: SinkOptions, proof: Proof) -> dict[str, object]:
    coverages = proof.coverages
    return {
        "sink": sink.name,
        "proved": proof.holds,
        "batches": proof.batches,
        "compactions": proof.compactions,
        "objects": proof.objects,
        "rows": proof.rows,
        "bytes": proof.bytes,
        "duplicates": proof.duplicates,
        "lines": coverages.lines,
        "refused": coverages.rejected,
        "segments": [
            {
                **_show_key(each.key),
                "path": printable(each.path),
                "end": each.end,
                "lines": each.lines,
                "refused": each.rejected,
            }
            for each in coverages
        ],
        "problems": [_show(problem) for problem in proof.problems],
        "notes": [_show(note) for note in proof.notes],
    }


def _show_key(key: SegmentKey) -> dict[str, str | int]:
    return {
        name: printable(value) if isinstance(value, str) else value
        for name, value in key._asdict().items()
    }


def _show(finding: StoreFinding) -> dict[str, str]:
    return {
        "kind": finding.kind,
        "where": printable(finding.where),
        "detail": printable(finding.detail),
    }


def _print(sink: SinkOptions, proof: Proof) -> None:
    for title, findings in (("Problems", proof.problems), ("Will be repaired", proof.notes)):
        if findings:
            print_table(
                title,
                ("kind", "where", "what"),
                [tuple(_show(each).values()) for each in findings],
            )
    rows = [
        (
            printable(host),
            printable(source),
            len(segments),
            format_bytes(sum(each.end for each in segments)),
            sum(each.lines for each in segments),
            sum(each.rejected for each in segments),
        )
        for (host, source), segments in proof.coverages.by_source().items()
    ]
    print_table("Sources", ("host", "source", "files", "bytes", "lines", "rejected"), rows)
    verdict = (
        "every range is there, once and unaltered"
        if proof.holds
        else f"{len(proof.problems)} problems"
    )
    print_line(
        f"{sink.name}: {proof.batches} batches, {proof.objects} objects, {proof.rows} rows, "
        f"{format_bytes(proof.bytes)}: {verdict}"
    )
