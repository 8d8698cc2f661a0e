"""`status`: what each sink has delivered and what is still to come; what each source has at risk."""

from __future__ import annotations

import argparse
import os
import time
from contextlib import closing
from dataclasses import asdict

from tracesidecar.cli.output import print_json, print_line, print_table
from tracesidecar.config import Configuration, load_to_read
from tracesidecar.config.deletion_protection import MEANING, Protection, expected_protection
from tracesidecar.introspect.status import SinkStanding, Standing, standing
from tracesidecar.journal.journal import Journal
from tracesidecar.logs import printable
from tracesidecar.units import format_bytes, format_duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Read the journal, beside a running daemon or without one."""
    configuration = load_to_read(arguments.config, os.environ)
    with closing(Journal.open_to_read(configuration.state_directory)) as journal:
        now = standing(configuration, journal, time.time())
    if arguments.json:
        print_json(_document(now, configuration))
    else:
        _tell(now, configuration)
    return 0


def _document(now: Standing, configuration: Configuration) -> dict[str, object]:
    protection = _protection(configuration)
    return {
        "state_directory": configuration.state_directory,
        "running": now.is_running,
        "sinks": [asdict(sink) for sink in now.sinks],
        "sources": [
            {**asdict(source), "protection": protection.get(source.name)} for source in now.sources
        ],
    }


def _tell(now: Standing, configuration: Configuration) -> None:
    running = {True: "running", False: "not running", None: "not known to run"}[now.is_running]
    print_line(f"{running}, state in {printable(configuration.state_directory)}")
    columns = ("sink", "state", "lines", "delivered", "behind", "retries", "refused", "promise")
    rows = [
        (
            s.name,
            s.state,
            s.delivered_lines,
            format_bytes(s.delivered_bytes),
            _behind(s),
            s.retries,
            s.quarantined,
            s.promise,
        )
        for s in now.sinks
    ]
    print_table("Sinks", columns, rows)
    meaning = {name: MEANING[kind] for name, kind in _protection(configuration).items()}
    print_table(
        "Sources",
        ("source", "files", "size", "at risk", "lost", "refused", "unsent files are"),
        [
            (
                s.name,
                s.files,
                format_bytes(s.bytes),
                format_bytes(s.at_risk_bytes),
                format_bytes(s.lost_bytes),
                s.quarantined,
                meaning.get(s.name, ""),
            )
            for s in now.sources
        ],
    )


def _behind(sink: SinkStanding) -> str:
    return (
        f"{format_bytes(sink.lag_bytes)} for {format_duration(sink.lag_seconds)}"
        if sink.lag_bytes
        else "nothing"
    )


def _protection(configuration: Configuration) -> dict[str, Protection]:
    return {
        source.name: expected_protection(source, configuration.state_directory)
        for source in configuration.source
    }
