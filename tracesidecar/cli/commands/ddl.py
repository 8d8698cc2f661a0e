"""`ddl`: the statements that create tables over what the configuration ships."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta

from tracesidecar.cli.lake_argument import LakeArgument, find_lake, with_objects
from tracesidecar.cli.output import complain, print_json, print_line
from tracesidecar.config import load_to_read
from tracesidecar.ddl import (
    ENGINES_TO_APPLY,
    Lake,
    Statement,
    Template,
    apply_statements,
    athena,
    bigquery,
    duckdb,
    event_schema,
    iceberg,
    list_clear_hosts,
    postgres,
    put_templates,
    spark,
    sqlite,
    templates,
)
from tracesidecar.errors import ConfigurationError
from tracesidecar.exit_codes import ExitCode
from tracesidecar.sanitize import printable
from tracesidecar.sinks import Reach, reach_of

ENGINES: dict[str, Callable[[Lake, date], tuple[Statement, ...]]] = {
    "athena": lambda lake, _: athena.statements(lake),
    "bigquery": bigquery.statements,
    "iceberg": iceberg.statements,
    "duckdb": lambda lake, _: duckdb.statements(with_objects(lake)),
    "spark": lambda lake, day: spark.statements(with_objects(lake), day),
    "postgres": lambda lake, _: postgres.statements(lake),
    "sqlite": lambda _lake, _: sqlite.statements(),
}
OTHERS = ("elasticsearch", "json-schema")
NOTES = {
    "iceberg": "The table is filled from the view `events` that `ddl athena` creates.",
    "postgres": "For each object: lines, copy, insert, in one session.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the engine, and what the statements are for."""
    parser.add_argument(
        "engine", metavar="ENGINE", choices=(*ENGINES, *OTHERS), help=", ".join((*ENGINES, *OTHERS))
    )
    parser.add_argument(
        "--sink",
        metavar="NAME",
        help="the sink whose lake to use (default: the first that ships events)",
    )
    parser.add_argument(
        "--database",
        metavar="NAME",
        help="the database, dataset or schema of the tables (agent_traces)",
    )
    parser.add_argument("--project", metavar="NAME", help="the project in BigQuery")
    parser.add_argument(
        "--since",
        metavar="DATE",
        type=date.fromisoformat,
        help="the first day that Athena looks for (2025-01-01)",
    )
    parser.add_argument(
        "--day",
        metavar="DATE",
        type=date.fromisoformat,
        default=_yesterday(),
        help="the day that load statements are about (yesterday)",
    )
    parser.add_argument(
        "--apply",
        metavar="WHERE",
        help="create the tables: in a DuckDB file, or at the URL of a PostgreSQL or Elasticsearch",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="with --apply: credentials may go to a public address without TLS",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Print the statements, or run those that define tables."""
    engine: str = arguments.engine
    if engine == "json-schema":
        print_json(event_schema())
        return ExitCode.DONE
    if arguments.apply and engine not in ENGINES_TO_APPLY:
        complain(
            f"tracesidecar ddl: --apply works with {', '.join(ENGINES_TO_APPLY)}; "
            f"run the statements for {engine} yourself"
        )
        return ExitCode.USAGE
    if arguments.apply:
        _judge_way(engine, arguments.apply, is_insecure=arguments.insecure)
    found = find_lake(load_to_read(arguments.config, os.environ), arguments.sink)
    if found is None:
        complain(f"tracesidecar ddl: no sink {printable(arguments.sink)} keeps objects")
        return ExitCode.USAGE
    try:
        lake = _adjust(found.lake, arguments)
    except ValueError as error:
        complain(f"tracesidecar ddl: {error}")
        return ExitCode.USAGE
    _warn(found)
    if engine == "elasticsearch":
        return _elasticsearch(arguments)
    statements = ENGINES[engine](lake, arguments.day)
    if arguments.apply:
        os.umask(arguments.caller.umask)  # the database is the caller's, not ours
        return _report_applied(apply_statements(engine, arguments.apply, statements), arguments)
    _print(engine, found, lake, statements, as_json=arguments.json)
    return ExitCode.DONE


def _judge_way(engine: str, where: str, *, is_insecure: bool) -> None:
    """Raise ConfigurationError, or warn, if credentials would be readable on the way.

    By the rules for sinks.
    """
    for host in list_clear_hosts(engine, where):
        reach = reach_of(host)
        if reach is Reach.THIS_MACHINE:
            continue
        sent = f"credentials go to {printable(host)} in clear text"
        if reach is Reach.PUBLIC and not is_insecure:
            raise ConfigurationError(
                f"{sent}, and that is a public address: use TLS, or give --insecure if anyone on "
                "the network path may read them"
            )
        if not is_insecure:
            complain(
                f"tracesidecar ddl: warning: {sent}: anyone on the network path can read and use "
                "them; use TLS, or give --insecure; the next release rejects this without it"
            )


def _yesterday() -> date:
    return (datetime.now(UTC) - timedelta(days=1)).date()


def _adjust(lake: Lake, arguments: argparse.Namespace) -> Lake:
    given = {
        "database": arguments.database,
        "project": arguments.project,
        "first_day": arguments.since,
    }
    return replace(lake, **{key: value for key, value in given.items() if value is not None})


def _warn(found: LakeArgument) -> None:
    if found.sink is None:
        complain(
            "tracesidecar ddl: no sink of the configuration keeps objects; "
            "replace BUCKET and PREFIX by your own"
        )
    elif not found.has_events:
        complain(
            f"tracesidecar ddl: sink {found.sink.name} ships {found.sink.format}; "
            'tables need format = "event" or "parquet"'
        )


def _print(
    engine: str,
    found: LakeArgument,
    lake: Lake,
    statements: tuple[Statement, ...],
    *,
    as_json: bool,
) -> None:
    if as_json:
        sink = found.sink.name if found.sink else None
        print_json(
            {
                "engine": engine,
                "sink": sink,
                "location": lake.location,
                "statements": [asdict(statement) for statement in statements],
            }
        )
        return
    if engine in NOTES:
        print_line(f"-- {NOTES[engine]}")
    for statement in statements:
        print_line(
            f"-- {statement.name} ({statement.use}): {statement.purpose}\n{statement.text};\n"
        )


def _elasticsearch(arguments: argparse.Namespace) -> int:
    if arguments.apply:
        os.umask(arguments.caller.umask)  # the database is the caller's, not ours
        return _report_applied(put_templates(arguments.apply), arguments)
    made = templates()
    if arguments.json:
        print_json(
            {"engine": "elasticsearch", "templates": [asdict(template) for template in made]}
        )
    else:
        print_line("\n\n".join(_request(template) for template in made))
    return ExitCode.DONE


def _request(template: Template) -> str:
    body = json.dumps(template.body, indent=2)
    return f"# {template.purpose}\nPUT _index_template/{template.name}\n{body}"


def _report_applied(names: list[str], arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json({"engine": arguments.engine, "applied": names})
    else:
        print_line(f"created {', '.join(names)}")
    return ExitCode.DONE
