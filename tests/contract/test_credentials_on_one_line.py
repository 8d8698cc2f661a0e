"""A credential with a line break in it is an error of the credentials, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.conftest import Folder
from tracesidecar.errors import ConfigurationError, RetryLater
from tracesidecar.sinks import build_sink

TOKEN = "first-5e4d3c2b\r\nX-Other: second-1a0f9e8d"
SOURCE = '[[source]]\nname = "agent"\ninclude = ["traces/*.jsonl"]\n[[sink]]\nname = "it"\n'
AT_A_START = {
    "bearer": 'type = "http"\nurl = "https://127.0.0.1:9/"\n'
    'auth = { type = "bearer", token = "${env:TOKEN}" }\n',
    "bearer from a file": 'type = "http"\nurl = "https://127.0.0.1:9/"\n'
    'auth = { type = "bearer", token_file = "token" }\n',
    "basic": 'type = "loki"\nurl = "https://127.0.0.1:9/"\n'
    'auth = { type = "basic", username = "u", password = "${env:TOKEN}" }\n',
    "a header from a file": 'type = "elasticsearch"\nurl = "https://127.0.0.1:9/"\n'
    'auth = { type = "header", name = "X-Key", value_file = "token" }\n',
    "oauth2": 'type = "otlp"\nurl = "https://127.0.0.1:9/"\nauth = { type = "oauth2", '
    'token_url = "https://127.0.0.1:9/", client_id = "i", client_secret = "${env:TOKEN}" }\n',
    "splunk": 'type = "splunk"\nurl = "https://127.0.0.1:9"\ntoken = "${env:TOKEN}"\n',
    "datadog": 'type = "datadog"\nurl = "https://127.0.0.1:9"\napi_key_file = "token"\n',
    "kafka": 'type = "kafka"\nbrokers = ["127.0.0.1:9"]\ntopic = "t"\n'
    'sasl = { username = "u", password = "${env:TOKEN}" }\ntls = {}\n',
    "kafka from a file": 'type = "kafka"\nbrokers = ["127.0.0.1:9"]\ntopic = "t"\n'
    'sasl = { username = "u", password_file = "token" }\ntls = {}\n',
    "postgresql": 'type = "sql"\nurl = "postgresql://u@127.0.0.1:9/d"\npassword = "${env:TOKEN}"\n',
    "postgresql in its url": 'type = "sql"\nurl = "postgresql://u:a%0D%0Ab@127.0.0.1:9/d"\n',
    "s3": 'type = "s3"\nbucket = "traces"\nendpoint_url = "https://127.0.0.1:9"\n'
    'access_key = "AKIDEXAMPLE"\nsecret_key = "s"\nsession_token = "${env:TOKEN}"\n',
    "azure": 'type = "azure"\ncontainer = "traces"\naccount_url = "https://127.0.0.1:9/a"\n'
    'sas_token = "${env:TOKEN}"\n',
}
IN_THE_CONFIGURATION = {
    "a header of http": 'type = "http"\nurl = "https://h.example/"\n'
    'headers = { X-Key = "${env:TOKEN}" }\n',
    "a header of otlp": 'type = "otlp"\nurl = "https://h.example/"\n'
    'headers = { X-Key = "${env:TOKEN}" }\n',
    "the name of a header": 'type = "loki"\nurl = "https://h.example/"\n'
    'auth = { type = "header", name = "X\\r\\nY", value = "v" }\n',
    "a tenant": 'type = "loki"\nurl = "https://h.example/"\ntenant = "${env:TOKEN}"\n',
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with the token in a file, and in the environment."""
    folder = Folder(tmp_path)
    folder.environ["TOKEN"] = TOKEN
    (tmp_path / "token").write_bytes(TOKEN.encode())
    return folder


@pytest.mark.parametrize("sink", AT_A_START.values(), ids=AT_A_START)
async def test_a_line_break_in_a_token_is_a_credentials_error(folder: Folder, sink: str) -> None:
    (options,) = folder.load(SOURCE + sink).configuration.sink
    with pytest.raises(RetryLater) as raised:
        await build_sink(options).__aenter__()
    assert raised.value.reason == "credentials"
    assert "5e4d3c2b" not in str(raised.value)
    assert "1a0f9e8d" not in str(raised.value)


@pytest.mark.parametrize("sink", IN_THE_CONFIGURATION.values(), ids=IN_THE_CONFIGURATION)
def test_a_line_break_in_a_header_is_a_mistake(folder: Folder, sink: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        folder.load(SOURCE + sink)
    assert "5e4d3c2b" not in str(raised.value)
