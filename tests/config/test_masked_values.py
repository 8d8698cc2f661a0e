"""What is shown of a value that came from the environment or a file: the reference to it."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from tests.config.conftest import Folder
from tracesidecar.daemon.continuity import reject_repetition
from tracesidecar.errors import ConfigurationError, RetryLater
from tracesidecar.introspect.connectivity import check_connections
from tracesidecar.journal import Journal, prepare_state_directory
from tracesidecar.logs import configure
from tracesidecar.masking import Mask
from tracesidecar.sinks import SinkOptions, destination_key_of, destination_of, is_former_key
from tracesidecar.units import Origin

HOOK = "T0123ABCD/B0456EFGH/zYxWvUtSrQpOnMlK"
CONFIGURED = (
    '[[source]]\nname = "agent"\ninclude = ["traces/*.jsonl"]\n'
    '[[sink]]\nname = "hook"\ntype = "http"\nurl = "https://hooks.example/${env:HOOK}"\n'
)


def test_another_value_is_another_destination_and_an_earlier_version_wrote_the_same(
    folder: Folder, tmp_path: Path
) -> None:
    folder.environ["HOOK"] = HOOK
    (before,) = folder.load(CONFIGURED).configuration.sink
    folder.environ["HOOK"] = HOOK + "2"
    configuration = folder.load(CONFIGURED).configuration
    (now,) = configuration.sink
    assert destination_of(before) == destination_of(now) == "http:https://hooks.example/${env:HOOK}"
    assert destination_key_of(before) != destination_key_of(now)
    state = tmp_path / "state"
    prepare_state_directory(str(state))
    with closing(Journal.open(str(state))) as journal:
        journal.sinks.begin("hook", f"http:https://hooks.example/{HOOK}", {})
        reject_repetition(before, journal, configuration)
        assert journal.sinks.find_destination("hook") == destination_key_of(before)
        with pytest.raises(ConfigurationError) as raised:
            reject_repetition(now, journal, configuration)
    assert "another destination that the same references stood for" in str(raised.value)
    assert "sha256" not in str(raised.value)
    assert HOOK not in str(raised.value)


ODD = (
    "tok en+abcdefgh",
    "s3cr%t+pass/w0rd",
    "abc%2fdefghij",
    "abc//../defg",
    "ABC/./DEFGHIJK",
    "t\u00f6k&nabcdefgh",
    "abc?d=e f+gh&token=secretzz",
    "p^ss|word{abc}#",
)


def load_sink(folder: Folder, sink: str, value: str) -> SinkOptions:
    """A sink whose options refer to the value as V."""
    folder.environ["V"] = value
    source = CONFIGURED.partition("[[sink]]")[0]
    (options,) = folder.load(f'{source}[[sink]]\nname = "it"\n{sink}\n').configuration.sink
    return options


@pytest.mark.parametrize("value", ODD)
def test_a_path_that_is_written_in_another_way_does_not_show_a_value(
    folder: Folder, value: str
) -> None:
    hook = 'type = "http"\nurl = "https://hooks.example/s/${env:V}"'
    options = load_sink(folder, hook, value)
    assert destination_of(options) == "http:https://hooks.example/s/${env:V}"


@pytest.mark.parametrize(
    ("sink", "value", "shown"),
    [
        ('type = "http"\nurl = "${env:V}"', "https://h.example/Ab%2fC d", "http:${env:V}"),
        ('type = "otlp"\nurl = "${env:V}/v1/logs"', "https://h.example", "otlp:${env:V}/v1/logs"),
        ('type = "http"\nurl = "https://h:${env:V}/x"', "8443", "http:https://h:${env:V}/x"),
        (
            'type = "azure"\ncontainer = "traces"\nconnection_string = "${env:V}"',
            "AccountName=acme;AccountKey=aw==",
            "azure:${env:V}",
        ),
        (
            (
                'type = "azure"\ncontainer = "traces"\nsas_token = "s"\naccount_url = '
                '"https://${env:V}.blob.core.windows.net"'
            ),
            "AcMe",
            "azure:https://${env:V}.blob.core.windows.net/traces/",
        ),
        (
            'type = "kafka"\ntopic = "t"\ntls = {}\nbrokers = ["${env:V}"]',
            "k1:9092,k2:9092",
            "kafka:${env:V}/t",
        ),
        (
            'type = "sql"\nurl = "postgresql://u@${env:V}/db"',
            "Db-One.Example",
            "sql:postgresql://${env:V}:5432/db/agent_traces",
        ),
        ('type = "sql"\nurl = "${env:V}"', "postgresql://u:p@Db.Example/x", "sql:${env:V}"),
        (
            'type = "sql"\nurl = "sqlite:////srv/${env:V}/t.db"',
            "one\ntwo",
            "sql:sqlite:/srv/${env:V}/t.db",
        ),
        ('type = "directory"\npath = "/srv/${env:V}"', "a//b/../c", "directory:/srv/${env:V}"),
        ('type = "directory"\npath = "${env:V}"', "/srv/lake", "directory:${env:V}"),
        ('type = "directory"\npath = "${env:V}"', "/srv//lake/", "directory:/${env:V}"),
        (
            'type = "s3"\nbucket = "b-${env:V}"\nprefix = "/${env:V}/"',
            "x1",
            "s3:aws/b-${env:V}/${env:V}",
        ),
        ('type = "syslog"\nhost = "${env:V}"', "Siem", "syslog:tls://${env:V}:6514"),
    ],
)
def test_the_name_of_a_destination_is_made_of_references(
    folder: Folder, sink: str, value: str, shown: str
) -> None:
    options = load_sink(folder, sink, value)
    assert destination_of(options) == shown
    assert destination_key_of(options).startswith(f"{shown} sha256:")


def test_a_tenant_of_a_prefix_has_the_reference_too(folder: Folder) -> None:
    sink = 'type = "s3"\nbucket = "traces"\nprefix = "${env:V}/{source}"'
    options = load_sink(folder, sink, "acme-secret-prefix")
    assert destination_of(options) == "s3:aws/traces/${env:V}/agent"
    assert Mask.of(options).apply("b/acme-secret-prefix/agent") == "b/${env:V}/agent"


def test_a_name_that_was_masked_in_another_way_is_of_the_same_destination(folder: Folder) -> None:
    sink = 'type = "azure"\ncontainer = "traces"\nconnection_string = "${env:V}"'
    options = load_sink(folder, sink, "AccountName=acme;AccountKey=aw==")
    digest = destination_key_of(options).partition(" sha256:")[2]
    assert is_former_key(f"azure:https://acme.blob/traces/ sha256:{digest}", options)
    assert not is_former_key(f"azure:https://acme.blob/traces/ sha256:{'0' * 16}", options)
    assert not is_former_key(destination_key_of(options), options)


LONG = "Zq9SECRETaa" + "k3J9" * 80 + "Zq9SECRETbb"


@pytest.mark.parametrize(
    ("sink", "value"),
    [
        ('type = "http"\nurl = "https://127.0.0.1:9/s/${env:V}"', 'Zq9SECRETaa%2fb"c d+Zq9SECRET'),
        ('type = "sql"\nurl = "sqlite:////none/${env:V}/x.db"', "Zq9SECRETaa\nx: Zq9SECRETbb"),
        ('type = "sql"\nurl = "duckdb:////none/${env:V}/x.db"', "Zq9SECRETaa\nx: Zq9SECRETbb"),
        ('type = "sql"\nurl = "postgresql://u@127.0.0.1:9/${env:V}"', "Zq9SECRETaa\nZq9SECRETbb"),
        ('type = "sql"\nurl = "postgresql://u@${env:V}/db"', "Zq9SECRETaa.invalid"),
        ('type = "sql"\nurl = "${env:V}"', "postgresql://zq9u:zq9pw@Zq9Db.invalid/zq9db"),
        (
            'type = "kafka"\ntopic = "t"\ntls = {}\nbrokers = ["${env:V}"]\ntimeout = "2s"',
            "Zq9SECRETaa.invalid:9,Zq9SECRETbb.invalid:9",
        ),
        (
            'type = "kafka"\ntopic = "t"\ntls = {}\nbrokers = ["${env:V}:9"]\ntimeout = "2s"',
            LONG,
        ),
        (
            'type = "azure"\ncontainer = "traces"\nconnection_string = "${env:V}"',
            "AccountName=zq9secretaa;AccountKey=aw==;BlobEndpoint=https://127.0.0.1:9/zq9secretbb",
        ),
        ('type = "http"\nurl = "https://${env:V}.invalid/x"', "zq9secret\u00fcaa"),
        ('type = "directory"\npath = "/dev/null/${env:V}"', "Zq9SECRETaa\n'x: Zq9SECRETbb"),
    ],
)
def test_what_libraries_say_shows_no_part_of_a_value(folder: Folder, sink: str, value: str) -> None:
    """A real connection of each, which fails: the sentence, and what is logged meanwhile."""
    written = io.StringIO()
    configure(written, {"LOG_FORMAT": "json", "LOG_LEVEL": "debug"})
    options = load_sink(folder, sink, value)
    (check,) = asyncio.run(check_connections([options]))
    assert not check.is_good
    for text in (check.detail, written.getvalue(), json.dumps(destination_key_of(options))):
        assert "zq9" not in text.lower(), text
        assert "k3j9k3j9" not in text.lower(), text


def test_a_default_is_not_shown_in_its_reference(folder: Folder) -> None:
    text = CONFIGURED.replace("${env:HOOK}", "${env:UNSET:-5e4d3c2b1a}")
    (sink,) = folder.load(text).configuration.sink
    assert destination_of(sink) == "http:https://hooks.example/${env:UNSET}"


WEB = '[[sink]]\nname = "a"\ntype = "http"\nurl = "https://h.example/"\n'
LAKE = '[[sink]]\nname = "a"\ntype = "directory"\npath = "x"\n'


@pytest.mark.parametrize(
    "mistake",
    [
        '[[sink]]\nname = "a"\ntype = "s3"\nbucket = "${env:ODD}"\n',
        '[[sink]]\nname = "a"\ntype = "${env:ODD}"\n',
        '[[sink]]\nname = "a"\ntype = "http"\nurl = "${env:ODD}"\n',
        WEB + 'format = "${env:ODD}"\n',
        WEB + 'headers = { odd = "${env:ODD}\\n", Authorization = 3 }\n',
        WEB + 'auth = { type = "${env:ODD}" }\n',
        WEB + 'tls = { ca_file = "${env:ODD}" }\n',
        WEB + 'expect = { header = "${env:ODD}" }\n',
        LAKE + 'file_mode = "${env:ODD}"\n',
        LAKE + 'sources = ["${env:ODD}"]\n',
        '[redaction]\ndisable = ["${env:ODD}"]\n',
        '[[redaction.rule]]\nid = "x"\nregex = "(${env:ODD}"\n',
        '[quarantine]\nseal_to = "${env:ODD}"\n',
        '[daemon]\nlisten = "${env:ODD}"\n',
        '[daemon]\nmemory_limit = "${env:ODD}"\n',
    ],
)
def test_no_mistake_shows_a_value(folder: Folder, mistake: str) -> None:
    odd = "odd VALUE/5e4d3c2b1a"
    folder.environ["ODD"] = odd
    report = folder.inspect(CONFIGURED.replace("${env:HOOK}", "x") + mistake)
    assert report.problems
    assert not [each for each in report.problems if "5e4d3c2b1a" in str(each)]


@pytest.mark.parametrize(
    ("value", "text", "masked"),
    [
        ("dev", "bucket dev at /dev/null, dev-x, devise", "bucket X at /X/null, X-x, devise"),
        ("tenant 1", "/tenant%201/a", "/X/a"),
        ("a%2Fbcdefgh", "/a/bcdefgh", "/X"),
        ("Hooks.Example.com", "dns: hooks.example.com:443", "dns: X:443"),
        ("https://h.example:1/p?t=secret-1", "http:https://h.example:1/p", "http:X"),
        ("https://h.example:1/p?t=secret-1", "https://h.example:1 answered 404", "X answered 404"),
        ("/srv/lake/", "directory:/srv/lake", "directory:X"),
        ("x", "x marks", "x marks"),
        ("", "nothing", "nothing"),
        ("a.b|c(d", "a.b|c(d", "X"),
        ("Zq9SECRETaaZq9SECRETbb", "at zq9secretaazq9... (cut)", "at X... (cut)"),
        ("Zq9SECRETaa\nbb cc", "no 'Zq9SECRETaa bb  cc'", "no 'X'"),
        ("Zq9SECRETaa\nbb cc", r"no 'Zq9SECRETaa\nbb cc'", "no 'X'"),
        ("Zq9 SECRET/aa", "GET /Zq9%20SECRET%2Faa", "GET /X"),
        ("Zq9 SECRET/aa", "GET /Zq9%2520SECRET%252Faa", "GET /X"),
        ("abc//../defg", "/abc/defg", "/X"),
        ("abc//../defghijk", "/abc/defghijk", "/X"),
        ("k1:9092,k2:9092", "k2:9092/bootstrap and k1", "X/bootstrap and X"),
        ("AccountName=acme;AccountKey=aw==", "https://acme.blob", "https://X.blob"),
        ("postgresql://u@db/x", "PostgreSQL is away", "PostgreSQL is away"),
        ("my-credentials-7", "it rejects the credentials", "it rejects the credentials"),
        ("my-credentials-7", "it rejects my-credentials", "it rejects X"),
        ("m\u00fcnchen-one", "dns: xn--mnchen-one-9db", "dns: X"),
        ("wXwXwXwXwX", "X is X", "X is X"),
        ("postgresql://u:p@Db.Example/dbx", "to postgresql://db.example:5432/dbx was", "to X was"),
        ("postgresql://u:p@Db.Example/db1", 'no database "db1"', 'no database "X"'),
        ("postgresql://u:p@db/x", "to postgresql://db:5432/x was", "to X was"),
    ],
)
def test_a_value_is_masked_in_the_forms_that_are_shown(value: str, text: str, masked: str) -> None:
    assert Mask([Origin("X", value)]).apply(text) == masked


def test_errors_and_logs_of_a_sink_are_masked_while_its_mask_is_in_force() -> None:
    written = io.StringIO()
    configure(written, {"LOG_FORMAT": "json"})

    def fail() -> None:
        log = structlog.get_logger()
        log.warning("sink.odd", where="5e4d3c2b", more=["5e4d3c2b"], sink="name-5E4D3C2B")
        raise RetryLater("network", "5e4d3c2b is away")

    with pytest.raises(RetryLater) as raised, Mask([Origin("X", "5e4d3c2b")]).in_force():
        fail()
    assert (raised.value.detail, str(raised.value)) == ("X is away", "network: X is away")
    assert "5e4d3c2b" not in written.getvalue()
    assert '"where": "X"' in written.getvalue()
    assert '"sink": "name-5E4D3C2B"' in written.getvalue(), "names are shown"


def test_a_webhook_in_clear_is_shown_redacted(folder: Folder) -> None:
    hook = "https://hooks.slack.com/services/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"
    (sink,) = folder.load(
        CONFIGURED.replace("https://hooks.example/${env:HOOK}", hook)
    ).configuration.sink
    assert destination_of(sink) == "http:https://[REDACTED:chat-webhook-url]"
    assert "zYxWvUtSrQpOnMlK" not in destination_key_of(sink)
