"""`ddl` prints statements that run as they are, for the current configuration, or runs them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import duckdb
import psycopg
import pytest
import sqlglot

from tests.ddl.lakes import CALLS, rows, write
from tracesidecar.cli import main
from tracesidecar.cli.commands.ddl import ENGINES
from tracesidecar.ddl.lake_location import LakeFormat

TOTALS = (
    "SELECT dialect, count(*), sum(input_tokens)::BIGINT, sum(output_tokens)::BIGINT FROM "
    "model_calls GROUP BY dialect"
)


def sink(name: str, form: str, **more: str) -> str:
    keys = {"name": name, "format": form, **more}
    return "[[sink]]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A configuration with a raw sink, a lake of JSON in a folder, and one in S3."""
    path = tmp_path / "tracesidecar.toml"
    head = (
        f'state_directory = "{tmp_path}/state"\n[[source]]\nname = "agent"\n'
        f'include = ["{tmp_path}/traces/*.jsonl"]\n'
    )
    lakes = [
        sink("archive", "raw", type="directory", path=f"{tmp_path}/archive"),
        sink("lake", "event", type="directory", path=f"{tmp_path}/lake"),
        sink("cloud", "parquet", type="s3", bucket="traces", prefix="agents/"),
    ]
    path.write_text(head + "".join(lakes))
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_sink_with_events_is_meant(
    configured: Path, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ddl", engine, "--config", str(configured), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["engine"], document["sink"], document["location"]) == (
        engine,
        "lake",
        str(configured.parent / "lake"),
    )
    assert {statement["use"] for statement in document["statements"]} <= {
        "define",
        "load",
        "maintain",
    }


def test_a_sink_can_be_named_and_a_sink_of_parquet_has_no_table_over_json(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            ["ddl", "athena", "--config", str(configured), "--sink", "cloud", "--database", "audit"]
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "LOCATION 's3://traces/agents/parquet/v1/'" in text
    assert "audit.events_parquet" in text
    assert "events_json" not in text


def test_what_is_printed_is_one_script(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ddl", "duckdb", "--config", str(configured)]) == 0
    script = sqlglot.parse(capsys.readouterr().out, dialect="duckdb")
    assert len([statement for statement in script if statement is not None]) == 4


def test_without_a_lake_placeholders_stand_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tracesidecar.toml"
    path.write_text(
        f'state_directory = "{tmp_path}/state"\n[[source]]\nname = "a"\n'
        f'include = ["{tmp_path}/*.jsonl"]\n' + sink("out", "raw", type="stdout")
    )
    assert main(["ddl", "athena", "--config", str(path)]) == 0
    said = capsys.readouterr()
    assert "LOCATION 's3://BUCKET/PREFIX/v1/'" in said.out
    assert "no sink" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["athena", "--sink", "nobody"],
        ["athena", "--apply", "x"],
        ["duckdb", "--database", "a b"],
        ["oracle"],
    ],
)
def test_wrong_usage_ends_with_64(
    configured: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ddl", *words, "--config", str(configured)]) == 64
    assert capsys.readouterr().out == ""


def test_duckdb_is_made_and_made_again(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And again when there is Parquet too."""
    lake, file = configured.parent / "lake", configured.parent / "traces.duckdb"
    formats: tuple[LakeFormat, ...] = ("json", "parquet")
    for form in formats:
        write(lake, rows(), form)
        assert main(["ddl", "duckdb", "--config", str(configured), "--apply", str(file)]) == 0
        assert form in capsys.readouterr().out
        with duckdb.connect(str(file), read_only=True) as database:
            assert set(database.execute(TOTALS).fetchall()) == CALLS


def test_duckdb_over_a_lake_that_is_empty_says_so(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "ddl",
                "duckdb",
                "--config",
                str(configured),
                "--apply",
                str(configured.parent / "traces.duckdb"),
            ]
        )
        == 78
    )
    assert "no object" in capsys.readouterr().err


def test_postgres_is_made(configured: Path, postgres: str) -> None:
    assert (
        main(
            [
                "ddl",
                "postgres",
                "--config",
                str(configured),
                "--database",
                "made_by_ddl",
                "--apply",
                postgres,
            ]
        )
        == 0
    )
    with psycopg.connect(postgres) as database:
        assert database.execute("SELECT count(*) FROM made_by_ddl.model_calls").fetchone() == (0,)


def test_a_postgres_that_is_not_there_is_said_without_the_password(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "ddl",
                "postgres",
                "--config",
                str(configured),
                "--apply",
                "postgresql://user:hunter2@127.0.0.1:1/x",
            ]
        )
        == 78
    )
    said = capsys.readouterr()
    assert "cannot be reached" in said.err
    assert "hunter2" not in said.out + said.err


class Search(BaseHTTPRequestHandler):
    """An OpenSearch that keeps what is put, and requires a password."""

    kept: dict[str, object]

    def do_GET(self) -> None:
        self._answer(
            200 if self.headers["Authorization"] == "Basic dTpwQA==" else 401,
            {"version": {"distribution": "opensearch", "number": "2.19.1"}},
        )

    def do_PUT(self) -> None:
        self.kept[self.path] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, {"acknowledged": True})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def search() -> Iterator[tuple[str, dict[str, object]]]:
    kept: dict[str, object] = {}
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Search,), {"kept": kept}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", kept
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_templates_are_put_and_opensearch_gets_its_own(
    configured: Path, search: tuple[str, dict[str, object]]
) -> None:
    address, kept = search
    assert (
        main(
            [
                "ddl",
                "elasticsearch",
                "--config",
                str(configured),
                "--apply",
                f"http://u:p%40@{address}/",
            ]
        )
        == 0
    )
    assert sorted(kept) == [
        "/_index_template/logs-tracesidecar",
        "/_index_template/logs-tracesidecar_event",
        "/_index_template/logs-tracesidecar_ocsf",
        "/_index_template/tracesidecar-ecs",
        "/_index_template/tracesidecar-event",
        "/_index_template/tracesidecar-ocsf",
    ]
    assert "flat_object" in json.dumps(kept)


def test_rejected_credentials_are_reported(
    configured: Path, search: tuple[str, dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "ddl",
                "elasticsearch",
                "--config",
                str(configured),
                "--apply",
                f"http://u:wrong@{search[0]}",
            ]
        )
        == 78
    )
    said = capsys.readouterr().err
    assert "401" in said
    assert "wrong" not in said


def test_the_templates_and_the_schema_are_printed(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ddl", "elasticsearch", "--config", str(configured)]) == 0
    assert capsys.readouterr().out.count("PUT _index_template/") == 6
    assert main(["ddl", "elasticsearch", "--config", str(configured), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["templates"]) == 6
    assert main(["ddl", "json-schema", "--config", str(configured)]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "tracesidecar event"
