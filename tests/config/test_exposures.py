"""What a configuration exposes is rejected, or a warning of `check-config` and of each start."""

from __future__ import annotations

import json
import socket

import pytest

from tests.config.conftest import Folder
from tests.daemon.sidecar import LAKE
from tracesidecar.errors import ConfigurationError
from tracesidecar.sinks import Reach, reach_of

SOURCE = '[[source]]\nname = "agent"\ninclude = ["traces/*.jsonl"]\n'
SINK = '[[sink]]\nname = "it"\nrequired = true\n'

CREDENTIALS = {
    "http with a token": 'type = "http"\nurl = "http://HOST:80/in"\n'
    'auth = { type = "bearer", token = "t" }\n',
    "http with a header": 'type = "http"\nurl = "http://HOST/"\nheaders = { X-Api-Key = "k" }\n',
    "http with a token in its path": 'type = "http"\nurl = "http://HOST/${env:HOOK}"\n',
    "http with a token in its query": 'type = "http"\nurl = "http://HOST/in?t=${env:HOOK}"\n',
    "an address that ends in a value": 'type = "http"\nurl = "http://HOST${env:PLACE}"\n',
    "http with a key in its query": 'type = "http"\nurl = "http://HOST/in?api_key=abc123"\n',
    "http with a code in its query": 'type = "http"\nurl = "http://HOST/in?code=a1"\n',
    "http with a signature in its query": 'type = "http"\nurl = "http://HOST/in?sv=1&sig=a"\n',
    "http with a key in camel case": 'type = "http"\nurl = "http://HOST/in?subscriptionKey=a1"\n',
    "a webhook in clear": 'type = "http"\n'
    'url = "http://HOST/services/T0123ABCD/B0456EFGH/zYxWvUtSrQpOnMlKjIhG1234"\n',
    "a UUID in its path": 'type = "otlp"\n'
    'url = "http://HOST/inputs/0f8fad5b-d9cb-469f-a165-70867728950e/tag/x"\n',
    "an HMAC": 'type = "http"\nurl = "http://HOST/in"\n'
    'signature = { secret = "aGVsbG8gaGVsbG8=" }\n',
    "a value in a header that is harmless by its name": 'type = "http"\nurl = "http://HOST/in"\n'
    'headers = { Accept-Language = "${env:HOOK}" }\n',
    "a list of brokers in one": 'type = "kafka"\nbrokers = ["127.0.0.1:9092,HOST:9092"]\n'
    'topic = "t"\nsasl = { username = "u", password = "p" }\n',
    "a token endpoint": 'type = "http"\nurl = "https://h.example/"\nauth = { type = "oauth2", '
    'token_url = "http://HOST/token", client_id = "i", client_secret = "s" }\n',
    "otlp": 'type = "otlp"\nurl = "http://HOST:4318/v1/logs"\nheaders = { api-key = "k" }\n',
    "loki": 'type = "loki"\nurl = "http://HOST/push"\nauth = { type = "basic", username = "u", '
    'password = "p" }\n',
    "elasticsearch": 'type = "elasticsearch"\nurl = "http://HOST:9200"\n'
    'auth = { type = "bearer", token = "t", scheme = "ApiKey" }\n',
    "splunk": 'type = "splunk"\nurl = "http://HOST:8088"\ntoken = "t"\n',
    "datadog": 'type = "datadog"\nurl = "http://HOST/api"\napi_key = "k"\n',
    "kafka": 'type = "kafka"\nbrokers = ["127.0.0.1:9092", "HOST:9092"]\ntopic = "t"\n'
    'sasl = { username = "u", password = "p" }\n',
    "postgresql": 'type = "sql"\nurl = "postgresql://u:p@HOST/db?sslmode=disable"\n',
    "s3": 'type = "s3"\nbucket = "traces"\nendpoint_url = "http://HOST:9000"\n',
    "azure": 'type = "azure"\ncontainer = "traces"\naccount_url = "http://HOST:10000/devstore"\n'
    'account_key = "aw=="\n',
    "azure by a connection string": 'type = "azure"\ncontainer = "traces"\nconnection_string = '
    '"BlobEndpoint=http://HOST:10000/devstore;AccountKey=aw=="\n',
    "gcs": 'type = "gcs"\nbucket = "traces"\nendpoint_url = "http://HOST"\n'
    'credentials_file = "key.json"\n',
}
HARMLESS = {
    "http without credentials": 'type = "http"\nurl = "http://HOST/${env:NOTHING:-}"\n'
    'headers = { Content-Type = "text/plain" }\n',
    "https": 'type = "http"\nurl = "https://HOST/"\nauth = { type = "bearer", token = "t" }\n',
    "an address that is a value as a whole, without a path": 'type = "http"\nurl = "${env:BARE}"\n',
    "an address that begins with a value": 'type = "http"\nurl = "${env:BARE}v1/logs"\n',
    "a path and a query that say nothing": 'type = "http"\n'
    'url = "http://HOST/my-collector-production-01/in?pipeline=traces&design=2&author=me"\n',
    "amazon with keys, where only STS is clear": 'type = "s3"\nbucket = "traces"\n'
    'endpoint_url = "https://HOST"\naccess_key = "k"\nsecret_key = "s"\n',
    "kafka with TLS": 'type = "kafka"\nbrokers = ["HOST:9093"]\ntopic = "t"\n'
    'sasl = { username = "u", password = "p" }\ntls = {}\n',
    "kafka without a user": 'type = "kafka"\nbrokers = ["HOST:9092"]\ntopic = "t"\n',
    "postgresql with TLS": 'type = "sql"\nurl = "postgresql://u:p@HOST/db"\n',
    "an emulator": 'type = "gcs"\nbucket = "traces"\nendpoint_url = "http://HOST:4443"\n',
    "amazon": 'type = "s3"\nbucket = "traces"\n',
    "syslog with TLS": 'type = "syslog"\nhost = "HOST"\n',
}


@pytest.fixture(autouse=True)
def values(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the configurations refer to, and a home without a password file."""
    monkeypatch.setenv("HOME", str(folder.path))
    folder.environ |= {"HOOK": "T0123ABCD", "PLACE": "/T0123", "BARE": "http://collector.example/"}
    (folder.path / "key.json").write_text("{}")


def inspect_sink(
    folder: Folder, sink: str, host: str, more: str = ""
) -> tuple[list[str], list[str]]:
    """The sentences of problems and warnings, without those about missing directories."""
    report = folder.inspect(SOURCE + SINK + sink.replace("HOST", host) + more)
    return (
        [each.message for each in report.problems],
        [each.message for each in report.warnings if "does not exist" not in each.message],
    )


@pytest.mark.parametrize("sink", CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_over_clear_text_are_judged_by_how_far_they_go(
    folder: Folder, sink: str
) -> None:
    ((problem,), warnings) = inspect_sink(folder, sink, "collector.example")
    assert "credentials go to collector.example in clear text, and that is a public" in problem
    assert "insecure = true" in problem
    assert warnings == []
    problems, (warning,) = inspect_sink(folder, sink, "collector.example", "insecure = true\n")
    assert "over public networks" in warning
    assert problems == []
    problems, (warning,) = inspect_sink(folder, sink, "collector.agents.svc")
    assert "the next release rejects this" in warning
    assert problems == []
    assert inspect_sink(folder, sink, "collector.agents.svc", "insecure = true\n") == ([], [])
    assert inspect_sink(folder, sink, "127.0.0.1") == ([], [])


PROXIED = {
    "http": 'type = "http"\nurl = "https://collector.example/"\n',
    "a token endpoint": 'type = "http"\nurl = "https://near.example/"\nauth = { type = "oauth2", '
    'token_url = "https://collector.example/t", client_id = "i", client_secret = "s" }\n',
    "s3": 'type = "s3"\nbucket = "traces"\n',
    "gcs": 'type = "gcs"\nbucket = "traces"\n',
    "azure": 'type = "azure"\ncontainer = "traces"\naccount_url = "https://me.blob.example"\n',
}


@pytest.mark.parametrize("sink", PROXIED.values(), ids=PROXIED)
def test_the_credentials_of_a_proxy_are_judged_like_those_of_a_sink(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, sink: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "near.example")

    def inspect(proxy: str, more: str = "") -> tuple[list[str], list[str]]:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        found = inspect_sink(folder, sink, "", more)
        assert "hunter2" not in str(found)
        return found

    (problem,), warnings = inspect("http://me:hunter2@proxy.example:3128")
    assert "the credentials in HTTPS_PROXY go to proxy.example in clear text, and that" in problem
    assert warnings == []
    problems, (warning,) = inspect("http://me:hunter2@proxy.example", "insecure = true\n")
    assert "over public networks" in warning
    assert problems == []
    problems, (warning,) = inspect("http://me:hunter2@10.1.2.3:3128")
    assert "the next release rejects this" in warning
    assert problems == []
    harmless = (
        "http://me:hunter2@127.0.0.1:3128",
        "https://me:hunter2@proxy.example",
        "http://proxy.example:3128",
        "http://[hunter2",
    )
    assert [inspect(proxy) for proxy in harmless] == [([], [])] * 4
    monkeypatch.setenv("NO_PROXY", "*")
    assert inspect("http://me:hunter2@proxy.example:3128") == ([], [])


S3 = 'type = "s3"\nbucket = "traces"\n'
GCS = 'type = "gcs"\nbucket = "traces"\n'
KEY_FILE = 'credentials_file = "key.json"\n'
PLAIN = 'type = "sql"\nurl = "postgresql://u@HOST/db?sslmode=disable"\n'


@pytest.mark.parametrize(
    ("sink", "variable", "value", "part"),
    [
        (S3, "AWS_ENDPOINT_URL", "http://HOST", "HOST (AWS_ENDPOINT_URL)"),
        (S3, "AWS_ENDPOINT_URL_S3", "http://HOST:9000", "HOST (AWS_ENDPOINT_URL_S3)"),
        (S3, "AWS_ENDPOINT_URL_STS", "http://HOST", "HOST (AWS_ENDPOINT_URL_STS)"),
        (GCS + KEY_FILE, "STORAGE_EMULATOR_HOST", "http://HOST", "HOST (STORAGE_EMULATOR_{})"),
        (GCS, "STORAGE_EMULATOR_HOST", "http://HOST", "HOST (STORAGE_EMULATOR_{})"),
        (GCS + KEY_FILE, "API_ENDPOINT_OVERRIDE", "http://HOST", "HOST (API_ENDPOINT_OVERRIDE)"),
        (PLAIN, "PGPASSWORD", "hunter2", "the credentials in PGPASSWORD go to HOST"),
        (PLAIN, "PGSERVICE", "traces", "the credentials in PGSERVICE go to HOST"),
        (
            GCS,
            "ALL_PROXY",
            "http://me:hunter2@HOST:3128",
            "the credentials in ALL_PROXY go to HOST",
        ),
    ],
)
def test_what_the_environment_adds_is_judged_too(
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    sink: str,
    variable: str,
    value: str,
    part: str,
) -> None:
    def inspect(host: str, more: str = "") -> tuple[list[str], list[str]]:
        monkeypatch.setenv(variable, value.replace("HOST", host))
        found = inspect_sink(folder, sink, host, more)
        assert "hunter2" not in str(found)
        return found

    (problem,), warnings = inspect("collector.example")
    assert part.replace("HOST", "collector.example").format("HOST") in problem
    assert warnings == []
    problems, (warning,) = inspect("10.1.2.3")
    assert "the next release rejects this" in warning
    assert problems == []
    assert inspect("10.1.2.3", "insecure = true\n") == ([], [])
    assert inspect("127.0.0.1") == ([], [])
    monkeypatch.delenv(variable)
    assert inspect_sink(folder, sink, "collector.example") == ([], [])


def test_the_options_of_a_store_come_before_the_environment(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"):
        monkeypatch.setenv(name, "http://collector.example")
    keys = 'access_key = "k"\nsecret_key = "s"\n'
    own = 'endpoint_url = "https://me.example"\n'
    assert inspect_sink(folder, S3 + keys + own, "") == ([], [])
    assert inspect_sink(folder, GCS + KEY_FILE + own, "") == ([], [])
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert inspect_sink(folder, S3, "") == ([], [])


@pytest.mark.parametrize("field", ["token_uri", "token_url", "service_account_impersonation_url"])
def test_the_server_that_a_credentials_file_names_is_judged(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    key = folder.path / "key.json"
    key.write_text(json.dumps({"type": "service_account", field: "http://tokens.example/t"}))
    (problem,), _ = inspect_sink(folder, GCS + KEY_FILE, "")
    assert f"credentials go to tokens.example ({field} of {key}) in clear text" in problem
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    (problem,), _ = inspect_sink(folder, GCS, "")
    assert "tokens.example" in problem
    key.write_text(json.dumps({field: "https://tokens.example/t", "type": 3}))
    assert inspect_sink(folder, GCS, "") == ([], [])
    key.write_text("[")
    assert inspect_sink(folder, GCS, "") == ([], [])


def test_a_password_file_counts_as_a_password(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder.path / "pgpass"
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert inspect_sink(folder, PLAIN, "db.example") == ([], [])
    file.write_text("*:*:*:*:hunter2\n")
    (problem,), _ = inspect_sink(folder, PLAIN, "db.example")
    assert "the credentials in PGPASSFILE go to db.example" in problem


@pytest.mark.parametrize("sink", HARMLESS.values(), ids=HARMLESS)
def test_what_needs_no_warning_has_none(folder: Folder, sink: str) -> None:
    assert inspect_sink(folder, sink, "collector.example") == ([], [])


@pytest.mark.parametrize(
    ("host", "reach"),
    [
        ("127.0.0.1", Reach.THIS_MACHINE),
        ("127.9.9.9", Reach.THIS_MACHINE),
        ("127.1", Reach.THIS_MACHINE),
        ("2130706433", Reach.THIS_MACHINE),
        ("::1", Reach.THIS_MACHINE),
        ("[::1]", Reach.THIS_MACHINE),
        ("::ffff:127.0.0.1", Reach.THIS_MACHINE),
        ("0.0.0.0", Reach.THIS_MACHINE),
        ("LOCALHOST", Reach.THIS_MACHINE),
        ("localhost.", Reach.THIS_MACHINE),
        ("collector.localhost", Reach.THIS_MACHINE),
        (socket.gethostname(), Reach.THIS_MACHINE),
        ("/run/postgresql", Reach.THIS_MACHINE),
        ("", Reach.THIS_MACHINE),
        ("10.1.2.3", Reach.PRIVATE),
        ("172.16.0.1", Reach.PRIVATE),
        ("192.168.1.1", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("169.254.169.254", Reach.PRIVATE),
        ("fd00::1", Reach.PRIVATE),
        ("fe80::1%eth0", Reach.PRIVATE),
        ("collector", Reach.PRIVATE),
        ("collector.agents.svc", Reach.PRIVATE),
        ("collector.agents.svc.cluster.local", Reach.PRIVATE),
        ("printer.local.", Reach.PRIVATE),
        ("vault.internal", Reach.PRIVATE),
        ("8.8.8.8", Reach.PUBLIC),
        ("134744072", Reach.PUBLIC),
        ("0x8.0x8.8.8", Reach.PUBLIC),
        ("::ffff:8.8.8.8", Reach.PUBLIC),
        ("2001:4860:4860::8888", Reach.PUBLIC),
        ("collector.example", Reach.PUBLIC),
        ("localhost.collector.example", Reach.PUBLIC),
        ("127.0.0.1.collector.example", Reach.PUBLIC),
        ("svc.example", Reach.PUBLIC),
    ],
)
def test_a_host_is_as_far_away_as_its_name_or_address_says(host: str, reach: Reach) -> None:
    assert reach_of(host) is reach


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (SINK + 'type = "syslog"\ntransport = "tcp"\nhost = "127.0.0.1"\n', "in clear text"),
        (SINK + 'type = "syslog"\ntransport = "udp"\nhost = "siem.example"\n', "in clear text"),
        (SINK + 'type = "relp"\nport = 2514\nhost = "siem.example"\n', "in clear text"),
        (SINK + 'type = "syslog"\nhost = "siem.example"\ntls = { verify = false }\n', "verify ="),
        (SINK + 'type = "http"\nurl = "https://h.example/"\ntls = { verify = false }\n', "verify"),
        (SINK + 'type = "s3"\nbucket = "traces"\ntls = { verify = false }\n', "verify = false"),
        (SINK + 'type = "kafka"\nbrokers = ["h:1"]\ntopic = "t"\ntls = { verify = false }\n', "v"),
        ('[daemon]\nlisten = "0.0.0.0:9464"\n' + LAKE.format(lake="lake"), "on all addresses"),
        ('[daemon]\nlisten = "[::]:9464"\n' + LAKE.format(lake="lake"), "on all addresses"),
        ('[daemon]\nlisten = "0:9464"\n' + LAKE.format(lake="lake"), "on all addresses"),
    ],
)
def test_what_others_may_read_or_forge_is_a_warning(folder: Folder, more: str, part: str) -> None:
    report = folder.inspect(SOURCE + more)
    (warning,) = (each for each in report.warnings if "does not exist" not in each.message)
    assert part in warning.message
    assert warning.line > len(SOURCE.splitlines())
    assert not report.problems


def test_an_address_that_is_a_value_as_a_whole_is_judged_by_its_path(folder: Folder) -> None:
    sink = 'type = "http"\nurl = "${env:URL}"\n'
    folder.environ["URL"] = "http://collector.example/v1/logs"
    (problem,), _ = inspect_sink(folder, sink, "")
    assert "credentials go to ${env:URL} in clear text, and that is a public address" in problem
    folder.environ["URL"] = "http://collector.example?v=1"
    (problem,), _ = inspect_sink(folder, sink, "")
    assert "${env:URL}" in problem
    folder.environ["URL"] = "http://10.1.2.3/v1/logs"
    problems, (warning,) = inspect_sink(folder, sink, "")
    assert "credentials go to ${env:URL} in clear text: anyone" in warning
    assert problems == []
    for harmless in ("http://127.0.0.1/v1/logs", "https://h.example/v1/logs", "http://h.example/"):
        folder.environ["URL"] = harmless
        assert inspect_sink(folder, sink, "") == ([], [])


def test_a_host_that_is_a_value_is_judged_and_not_shown(folder: Folder) -> None:
    folder.environ["WHERE"] = "collector-8c7d6e5f.example"
    ((problem,), _) = inspect_sink(folder, CREDENTIALS["splunk"], "${env:WHERE}")
    assert "credentials go to ${env:WHERE} in clear text" in problem
    with pytest.raises(ConfigurationError, match="public address"):
        folder.load(SOURCE + SINK + CREDENTIALS["splunk"].replace("HOST", "${env:WHERE}"))
