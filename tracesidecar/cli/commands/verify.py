"""`verify SINK`: prove from the destination that every range is there, once and unaltered."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from dataclasses import asdict

from tracesidecar.cli.output import complain, print_json, print_line, print_table, progress
from tracesidecar.config import Configuration, load_to_read
from tracesidecar.errors import SinkError, StateError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.journal import Journal
from tracesidecar.lake import Proof, size_of, verify
from tracesidecar.logs import printable
from tracesidecar.sinks import SinkOptions, sink_type, stored_objects_of
from tracesidecar.units import format_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sink and `--json`."""
    parser.add_argument(
        "sink", metavar="SINK", help="a sink of the configuration that keeps objects"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Read the whole store; 65 when something is wrong with it, 75 when it cannot be read now."""
    configuration = load_to_read(arguments.config, os.environ)
    sink = named(configuration, arguments.sink, "verify")
    if sink is None:
        return ExitCode.USAGE
    try:
        proof = _proof(configuration, sink)
    except SinkError as error:
        complain(f"tracesidecar verify: {error}")
        return ExitCode.LEFT_BEHIND
    if arguments.json:
        print_json(_document(sink, proof))
    else:
        _tell(sink, proof)
    return ExitCode.DONE if proof.holds else ExitCode.QUARANTINED


def named(configuration: Configuration, name: str, command: str) -> SinkOptions | None:
    """The sink of that name, if its store can be looked at; else say why not."""
    sink = next((sink for sink in configuration.sink if sink.name == name), None)
    if sink is not None and _is_readable(sink):
        return sink
    which = (
        ", ".join(sorted(sink.name for sink in configuration.sink if _is_readable(sink))) or "none"
    )
    complain(
        f"tracesidecar {command}: {printable(name)} is not a sink that can be read back; of this configuration can: {which}"
    )
    return None


def _is_readable(sink: SinkOptions) -> bool:
    return sink_type(sink.type).stored_objects is not None


def under_way(configuration: Configuration, sink: str) -> frozenset[str]:
    """The objects of batches that are being sent from this machine; none where nothing was ever
    sent from it.
    """
    try:
        journal = Journal.open_to_read(configuration.state_directory)
    except StateError:
        return frozenset()
    with closing(journal):
        return frozenset(each.name for plan in journal.plans.load(sink) for each in plan.objects)


def _proof(configuration: Configuration, sink: SinkOptions) -> Proof:
    store = stored_objects_of(sink)
    if store is None:
        raise AssertionError("the sink was asked for by a type that can be opened")
    with closing(store), progress(size_of(store)) as tell:
        return verify(
            store,
            under_way=under_way(configuration, sink.name),
            begins_anywhere=sink.start == "now",
            on_read=tell,
        )


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
                **each.key._asdict(),
                "path": printable(each.path),
                "end": each.end,
                "lines": each.lines,
                "refused": each.rejected,
            }
            for each in coverages
        ],
        "problems": [asdict(problem) for problem in proof.problems],
        "notes": [asdict(note) for note in proof.notes],
    }


def _tell(sink: SinkOptions, proof: Proof) -> None:
    for title, findings in (("Problems", proof.problems), ("Will be put right", proof.notes)):
        if findings:
            print_table(
                title,
                ("kind", "where", "what"),
                [(each.kind, printable(each.where), each.detail) for each in findings],
            )
    rows = [
        (
            host,
            source,
            len(segments),
            format_bytes(sum(each.end for each in segments)),
            sum(each.lines for each in segments),
            sum(each.rejected for each in segments),
        )
        for (host, source), segments in proof.coverages.by_source().items()
    ]
    print_table("Sources", ("host", "source", "files", "bytes", "lines", "refused"), rows)
    verdict = (
        "every range is there, once and unaltered"
        if proof.holds
        else f"{len(proof.problems)} problems"
    )
    print_line(
        f"{sink.name}: {proof.batches} batches, {proof.objects} objects, {proof.rows} rows, {format_bytes(proof.bytes)}: {verdict}"
    )
