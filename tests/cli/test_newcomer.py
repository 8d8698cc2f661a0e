"""A newcomer's first commands work: demo, init, check-config, and what they say is true."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
import tomli

from tests.cli.conftest import Desk
from tracesidecar.config.load import load


def test_demo_writes_whole_lines_with_secrets_that_are_found(desk: Desk) -> None:
    done = desk.call("demo", "--rate", "400", "--seconds", "0.1")
    assert (done.returncode, done.stdout) == (0, "")
    (path,) = (desk.folder / "traces").glob("demo-*.jsonl")
    assert len([json.loads(line) for line in path.read_bytes().splitlines()]) == 40
    (file,) = desk.document("scan", "traces")["files"]
    assert (file["lines"], file["invalid"]) == (40, {})
    assert sum(file["secrets"].values()) >= 20
    assert file["pii"] == {"email": 5}


def test_demo_lines_have_the_shape_of_machina(desk: Desk) -> None:
    desk.call("demo", "--rate", "100", "--seconds", "0.01", "elsewhere")
    (path,) = (desk.folder / "elsewhere").glob("demo-*.jsonl")
    fields = (
        "timestamp action connector asset_id operation input_summary output_summary duration_ms "
        "success error metadata conversation_id"
    )
    fields += " prompt_tokens completion_tokens total_tokens usd_cost model"
    assert list(json.loads(path.read_bytes().splitlines()[0])) == fields.split()


def test_init_writes_a_configuration_for_what_is_there_and_it_loads(desk: Desk) -> None:
    (desk.home / ".claude/projects").mkdir(parents=True)
    done = desk.call("init")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wrote tracesidecar.toml; found claude-code\n")
    loaded = load(str(desk.folder / "tracesidecar.toml"), {"HOME": str(desk.home)})
    assert [source.name for source in loaded.configuration.source] == ["claude-code", "traces"]
    assert desk.call("check-config").returncode == 0


def test_the_sinks_that_init_suggests_load_when_their_comment_is_taken_away(desk: Desk) -> None:
    desk.call("init")
    text = (desk.folder / "tracesidecar.toml").read_text()
    head, *suggestions = text.split("\n# [[sink]]\n")
    for suggestion in suggestions:
        block = "\n".join(line.removeprefix("# ") for line in suggestion.splitlines())
        path = desk.write("all.toml", f"{head}\n[[sink]]\n{block}\n")
        assert (
            len(
                load(str(path), {"HOME": str(desk.home), "COLLECTOR_TOKEN": "x"}).configuration.sink
            )
            == 2
        )


def test_init_does_not_overwrite_without_force(desk: Desk) -> None:
    desk.write("tracesidecar.toml", "mine")
    done = desk.call("init")
    assert (done.returncode, (desk.folder / "tracesidecar.toml").read_text()) == (64, "mine")
    assert "--force" in done.stderr
    assert desk.call("init", "--force").returncode == 0
    assert "sink" in tomli.loads((desk.folder / "tracesidecar.toml").read_text())


def test_check_config_of_the_embedded_default_is_good_and_writes_nothing(desk: Desk) -> None:
    done = desk.call("check-config")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("embedded default: good\n")
    assert [*desk.home.iterdir(), *desk.folder.iterdir()] == []


def test_check_config_reports_all_mistakes_in_one_document(desk: Desk) -> None:
    desk.write("tracesidecar.toml", '[daemon]\nlisten = 1\n[[source]]\nname = "a"\n')
    done = desk.call("check-config", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["valid"]) == (78, False)
    assert [(problem["line"], problem["key"]) for problem in document["problems"]] == [
        (1, "sink"),
        (2, "daemon.listen"),
        (3, "source"),
    ]


def test_check_config_runs_the_redaction_tests(desk: Desk) -> None:
    text = '[redaction]\n[[redaction.rule]]\nid = "staff"\nregex = "E[0-9]{7}"\n'
    text += "[[redaction.test]]\ninput = 'by E1234567'\nexpected = 'by [REDACTED:staff]'\n"
    text += "[[redaction.test]]\n"
    text += """input = '{"by":"E1234567"}'\nexpected = '{"by":"[REDACTED:staff]"}'\n"""
    rest = (
        '[[source]]\nname = "a"\ninclude = ["t/*.jsonl"]\n[[sink]]\nname = "l"\n'
        'type = "directory"\npath = "lake"\n'
    )
    desk.write("tracesidecar.toml", text + rest)
    assert desk.call("check-config").returncode == 0
    desk.write(
        "tracesidecar.toml", text + "[[redaction.test]]\ninput = 'E1'\nexpected = 'E2'\n" + rest
    )
    done = desk.call("check-config")
    assert done.returncode == 78
    assert (
        "error: redaction.test 3 of 3: the result is not the expected one, but: E1\n" in done.stderr
    )


@pytest.fixture
def rejecting_server() -> Iterator[int]:
    """A real server on loopback that wants other credentials."""

    class RejectAll(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RejectAll) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def test_check_config_online_tries_each_sinks_credentials_and_shows_none(
    desk: Desk, rejecting_server: int
) -> None:
    desk.write(
        "tracesidecar.toml",
        '[[source]]\nname = "a"\ninclude = ["t/*.jsonl"]\n[[sink]]\nname = "lake"\n'
        'type = "directory"\npath = "lake"\n'
        f'[[sink]]\nname = "web"\ntype = "http"\nurl = "http://127.0.0.1:{rejecting_server}/"\n'
        f'auth = {{ type = "bearer", token = "tok-hunter2" }}\n',
    )
    done = desk.call("check-config", "--online", "--json")
    answers = {answer["sink"]: answer for answer in json.loads(done.stdout)["online"]}
    assert done.returncode == 78
    assert answers["lake"]["is_good"] is True
    assert answers["web"]["is_good"] is False
    assert "401" in answers["web"]["detail"]
    printed = desk.call("check-config", "--online").stdout
    assert "correct auth" in printed
    assert not printed.endswith(": good\n")
    assert "hunter2" not in done.stdout + done.stderr + printed


def test_the_schema_is_one_json_document(desk: Desk) -> None:
    assert desk.document("config-schema")["title"] == "tracesidecar"
