"""`status`: what each sink has delivered and has still to get, and what each source has at risk."""

from __future__ import annotations

import argparse
import os
import time
from contextlib import closing

import msgspec

from tracesidecar.cli.output import complain, print_json, print_line, print_table
from tracesidecar.cli.unfollowed import describe_left_out, print_left_out
from tracesidecar.config import Configuration, guess_state_directory, load_to_read
from tracesidecar.errors import ConfigurationError, ConfigurationUnavailable
from tracesidecar.exit_codes import ExitCode
from tracesidecar.introspect.status import (
    NO_DAEMON,
    HeldReport,
    SinkReport,
    SourceReport,
    StatusReport,
    describe_protections,
    report_from_journal,
)
from tracesidecar.introspect.status_socket import request_status
from tracesidecar.journal import Journal
from tracesidecar.sanitize import printable
from tracesidecar.units import format_bytes, format_duration

RUNNING = {True: "running", False: "not running", None: "not known whether running"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--state` and `--json`."""
    parser.add_argument(
        "--state",
        metavar="DIR",
        help="the state directory to ask about, if not that of the configuration",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Ask the running daemon; only without one, read the journal, and say so.

    The daemon needs no configuration that can be loaded now: it has one.
    """
    configuration: Configuration | None = None
    note = ""
    try:
        configuration = load_to_read(arguments.config, os.environ)
        state = arguments.state or configuration.state_directory
    except ConfigurationError as error:
        state = arguments.state or guess_state_directory(arguments.config, os.environ)
        report = _ask_without_configuration(state, error)
        note = f"{error}; these figures are from the daemon, which goes on with what it has loaded"
    else:
        answer = request_status(state)
        if isinstance(answer, StatusReport):
            report = answer
        else:
            configuration = msgspec.structs.replace(configuration, state_directory=state)
            with closing(Journal.open_to_read(state)) as journal:
                report = report_from_journal(configuration, journal, time.time())
            reason = answer.reason or _silence(running=report.running)
            note = f"{reason}; these figures are from the journal"
    if arguments.json:
        left_out = None if configuration is None else describe_left_out(configuration)
        print_json(report.document() | {"left_out": left_out})
        if note:
            complain(f"tracesidecar status: {note}")
        return ExitCode.DONE
    _print(report, note)
    if configuration is not None:
        print_left_out(configuration)
    return ExitCode.DONE


def _ask_without_configuration(state_directory: str, error: ConfigurationError) -> StatusReport:
    """Ask the daemon; raise what is wrong with the configuration if none answers."""
    answer = request_status(state_directory)
    if isinstance(answer, StatusReport):
        return answer
    reason = f", {answer.reason}" if answer.reason else ""
    sentence = (
        f"no daemon could be asked in {printable(state_directory)} (--state names another "
        f"directory){reason}; the configuration cannot be loaded: {error}"
    )
    if isinstance(error, ConfigurationUnavailable):
        raise ConfigurationUnavailable(sentence) from error
    raise ConfigurationError(sentence) from error


def _silence(*, running: bool | None) -> str:
    """Return why nobody listens at the socket of the daemon."""
    if running:
        return "the daemon does not answer yet, or is about to end"
    return NO_DAEMON


def _print(report: StatusReport, note: str) -> None:
    print_line(f"{RUNNING[report.running]}, state in {printable(report.state_directory)}")
    if note:
        print_line(note)
    if report.running:
        for reason in report.why_not:
            print_line(f"not ready: {reason}")
    print_table(
        "Sinks",
        ("sink", "state", "lines", "delivered", "behind", "retries", "rejected", "promise"),
        [
            (
                sink.name,
                sink.state,
                sink.delivered_lines,
                format_bytes(sink.delivered_bytes),
                _lag(sink),
                sink.retries,
                sink.quarantined,
                sink.promise,
            )
            for sink in report.sinks
        ],
    )
    for sink in report.sinks:
        if sink.trouble and not any(sink.trouble in reason for reason in report.why_not):
            print_line(f"sink {sink.name}: {sink.trouble}")
    print_table(
        "Sources",
        ("source", "files", "size", "at risk", "lost", "rejected", "unsent files are"),
        [
            (
                source.name,
                source.files,
                format_bytes(source.bytes),
                format_bytes(source.at_risk_bytes),
                _describe_loss(source),
                source.quarantined,
                describe_protections(
                    source.protections, has_files=bool(source.files or source.bytes)
                ),
            )
            for source in report.sources
        ],
    )
    _print_held(report.held)
    for source in report.sources:
        if source.rewritten:
            print_line(
                f"source {source.name}: {source.rewritten} times a file no longer held what "
                "had been read of it (collect.rewritten in the log)"
            )
    for sink in report.sinks:
        if sink.repeated_bytes:
            print_line(
                f"sink {sink.name}: {format_bytes(sink.repeated_bytes)} that had arrived were sent "
                "again, because they follow a gap (sink.arrived_comes_again in the log)"
            )
    for notice in report.notices:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(notice.at))
        print_line(f"{at} {notice.event}: {printable(notice.sentence)}")


def _print_held(held: HeldReport) -> None:
    if not held.files and not held.set_aside_files:
        return
    print_line("")
    folders = ", ".join(map(printable, held.directories))
    print_line(
        f"{held.files} files have a hard link in {folders}; "
        f"those of deleted files keep {format_bytes(held.bytes)} on the disk"
    )
    if held.set_aside_files:
        print_line(
            f"{held.set_aside_files} more, with {format_bytes(held.set_aside_bytes)}, belong to no "
            "source and were set aside: configure their source again and restart, or move them "
            "into a watched directory; to free the space, delete them"
        )
    print_line(
        "before this program is removed: tracesidecar ship --once, then delete these directories"
    )


def _describe_loss(source: SourceReport) -> str:
    files = source.lost_files_uncounted
    uncounted = f" and an unknown part of {files} file{'s' * (files > 1)}" if files else ""
    return format_bytes(source.lost_bytes) + uncounted


def _lag(sink: SinkReport) -> str:
    if not sink.lag_bytes:
        return "nothing"
    return f"{format_bytes(sink.lag_bytes)} for {format_duration(sink.lag_seconds)}"
