"""`verify SINK`: prove from the destination that every range is there, once and unaltered."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import closing

from tracesidecar.cli.lake_argument import find_objects_being_sent, open_readable, readable_sink
from tracesidecar.cli.output import complain, print_line, print_long_json, print_table, progress
from tracesidecar.config import Configuration, load_to_read
from tracesidecar.errors import SinkError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.journal import load_deliveries
from tracesidecar.lake import Proof, SegmentKey, StoreFinding, size_of, verify
from tracesidecar.masking import Mask
from tracesidecar.sanitize import printable
from tracesidecar.sinks import SinkOptions, destination_of, is_key_of
from tracesidecar.units import format_bytes

MOST_SOURCES = 1000
"""So many sources are shown: whoever may write to a store may plant any number of them."""


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
        print_long_json(_document(sink, proof), "segments", _list_segments(proof))
    else:
        _print(sink, proof)
    return ExitCode.DONE if proof.holds else ExitCode.QUARANTINED


def _proof(configuration: Configuration, sink: SinkOptions) -> Proof:
    store = open_readable(sink)
    with closing(store), progress(size_of(store)) as report_read:
        proof = verify(
            store,
            under_way=find_objects_being_sent(configuration, sink.name),
            begins_anywhere=sink.start == "now",
            on_read=report_read,
        )
    delivered = load_deliveries(configuration.state_directory).sinks.get(sink.name)
    if is_key_of(delivered, sink) and not proof.coverages.has_sink(sink.name):
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
        "problems": [_show(problem) for problem in proof.problems],
        "problem_count": proof.problem_count,
        "notes": [_show(note) for note in proof.notes],
        "note_count": proof.note_count,
    }


def _list_segments(proof: Proof) -> Iterator[dict[str, object]]:
    for each in proof.coverages:
        yield {
            **_show_key(each.key),
            "path": printable(each.path),
            "end": each.end,
            "lines": each.lines,
            "refused": each.rejected,
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
    for title, findings, count in (
        ("Problems", proof.problems, proof.problem_count),
        ("Will be repaired", proof.notes, proof.note_count),
    ):
        if findings:
            print_table(
                title,
                ("kind", "where", "what"),
                [tuple(_show(each).values()) for each in findings],
            )
        if count > len(findings):
            print_line(f"and {count - len(findings)} more")
    rows = [
        (
            printable(each.host),
            printable(each.source),
            each.segments,
            format_bytes(int(each.bytes)),
            each.lines,
            each.rejected,
        )
        for each in proof.coverages.sum_sources(MOST_SOURCES + 1)
    ]
    columns = ("host", "source", "files", "bytes", "lines", "rejected")
    print_table("Sources", columns, rows[:MOST_SOURCES])
    if len(rows) > MOST_SOURCES:
        print_line("and more")
    verdict = (
        "every range is there, once and unaltered"
        if proof.holds
        else f"{proof.problem_count} problems"
    )
    print_line(
        f"{sink.name}: {proof.batches} batches, {proof.objects} objects, {proof.rows} rows, "
        f"{format_bytes(proof.bytes)}: {verdict}"
    )
