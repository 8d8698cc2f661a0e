"""`check-config`: report what is wrong with the configuration, and where."""

from __future__ import annotations

import argparse
import asyncio
import os
from dataclasses import asdict, dataclass
from typing import Literal

from tracesidecar.cli.output import complain, print_json, print_line, print_table
from tracesidecar.cli.unfollowed import describe_left_out, print_left_out
from tracesidecar.config import EMBEDDED, Configuration, ConfigurationReport, inspect
from tracesidecar.errors import JournalMissing, StateError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.introspect.connectivity import ConnectionCheck, check_connections
from tracesidecar.introspect.redaction_tests import find_failed_tests
from tracesidecar.introspect.status import (
    describe_protections,
    summarize_sources,
    weakest,
)
from tracesidecar.sinks import destination_of, promise_of
from tracesidecar.tail import Protection, SourceSummary


@dataclass(frozen=True, slots=True)
class _ExpectedProtection:
    """How unsent files of a source are protected: as in `status --json`, and for people."""

    kind: Protection | Literal["unknown"]
    phrase: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--online` and `--json`."""
    parser.add_argument(
        "--online", action="store_true", help="also connect each sink and try its credentials"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Report everything at once; return 78 if anything is wrong."""
    inspection = inspect(arguments.config, os.environ)
    configuration = inspection.configuration
    is_sound = configuration is not None and not inspection.problems
    failed = (
        find_failed_tests(configuration.redaction) if configuration is not None and is_sound else []
    )
    checks = (
        asyncio.run(check_connections(configuration.sink))
        if configuration is not None and is_sound and arguments.online
        else []
    )
    if arguments.json:
        print_json(_document(inspection, failed, checks))
    else:
        _print(inspection, failed, checks)
    is_good = is_sound and not failed and all(check.is_good for check in checks)
    return ExitCode.DONE if is_good else ExitCode.CONFIGURATION


def _document(
    inspection: ConfigurationReport, failed: list[str], checks: list[ConnectionCheck]
) -> dict[str, object]:
    configuration = inspection.configuration
    return {
        "valid": configuration is not None and not inspection.problems and not failed,
        "file": inspection.path,
        "problems": [asdict(problem) for problem in inspection.problems],
        "warnings": [asdict(warning) for warning in inspection.warnings],
        "failed_redaction_tests": failed,
        "sources": _sources(configuration) if configuration else [],
        "sinks": _sinks(configuration) if configuration else [],
        "left_out": describe_left_out(configuration) if configuration else [],
        "online": [asdict(check) for check in checks],
    }


def _sources(configuration: Configuration) -> list[dict[str, object]]:
    protections = _protections(configuration)
    return [
        {
            "name": source.name,
            "include": source.include,
            "protection": protections[source.name].kind,
        }
        for source in configuration.source
    ]


def _protections(configuration: Configuration) -> dict[str, _ExpectedProtection]:
    """Return how unsent files of each source are protected, by what a daemon has recorded."""
    try:
        summaries = summarize_sources(configuration)
    except StateError as error:
        phrase = "not known before the first run"
        if not isinstance(error, JournalMissing):
            complain(f"warning: {error}")
            phrase = "not known: the journal could not be read"
        return {
            source.name: _ExpectedProtection("unknown", phrase) for source in configuration.source
        }
    return {
        source.name: _ExpectedProtection(
            weakest(summary.protections),
            describe_protections(
                summary.protections, has_files=bool(summary.files or summary.bytes)
            ),
        )
        for source in configuration.source
        for summary in (summaries.get(source.name, SourceSummary()),)
    }


def _sinks(configuration: Configuration) -> list[dict[str, object]]:
    return [
        {
            "name": sink.name,
            "type": sink.type,
            "destination": destination_of(sink),
            "promise": promise_of(sink),
        }
        for sink in configuration.sink
    ]


def _print(
    inspection: ConfigurationReport, failed: list[str], checks: list[ConnectionCheck]
) -> None:
    for finding in (*inspection.problems, *inspection.warnings):
        complain(f"{'error' if finding in inspection.problems else 'warning'}: {finding}")
    for failure in failed:
        complain(f"error: {failure}")
    if inspection.configuration is None or inspection.problems:
        return
    configuration = inspection.configuration
    protections = _protections(configuration)
    rows = [
        (
            source.name,
            "\n".join(source.include),
            protections[source.name].phrase,
        )
        for source in configuration.source
    ]
    print_table("Sources", ("name", "include", "unsent files are"), rows)
    print_table(
        "Sinks",
        ("name", "type", "destination", "promise"),
        [tuple(sink.values()) for sink in _sinks(configuration)],
    )
    print_left_out(configuration)
    if checks:
        print_table(
            "Online",
            ("sink", "answer"),
            [(check.sink, "good" if check.is_good else check.detail) for check in checks],
        )
    if not failed and all(check.is_good for check in checks):
        print_line(f"{inspection.path or EMBEDDED}: good")
