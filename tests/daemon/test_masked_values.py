"""A value from the environment or a file is shown nowhere, whatever its place in a sink."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.daemon.sidecar import Sidecar, append, number_lines
from tests.servers.processes import free_port, wait_until

VALUES = {
    "HOOK": "T0123ABCD/B0456EFGH/zYxWvUtSrQpOnMlK",
    "HOST": "collector-7f3a9.invalid",
    "WHOLE": "https://hooks-9d8e7.invalid:8443/services/mNbVcXzLkJhG?token=qPwOeIrUtY",
    "BUCKET": "bucket-5e4d3c2b",
    "PREFIX": "tenant 81726354",
    "TENANT": "tenant-a1b2c3d4",
    "TOPIC": "topic-6f5e4d3c",
    "BROKER": "broker-2b1a0f9e.invalid:9092",
    "INDEX": "index-3c4d5e6f",
    "DATABASE": "postgresql://who-1a2b3c4d@db-4e5f6a7b.invalid/traces-8c9d0e1f",
    "ACCOUNT": "account9f8e7d6c",
}
SINKS = """
[[sink]]
name = "hook"
type = "http"
url = "https://127.0.0.1:{dead}/services/${{env:HOOK}}"
[[sink]]
name = "whole"
type = "http"
url = "${{env:WHOLE}}"
required = false
[[sink]]
name = "collector"
type = "syslog"
host = "${{env:HOST}}"
required = false
[[sink]]
name = "store"
type = "s3"
endpoint_url = "https://127.0.0.1:{dead}"
bucket = "${{env:BUCKET}}"
prefix = "${{env:PREFIX}}/x"
access_key = "AKIAIOSFODNN7EXAMPLE"
secret_key = "${{file:secret}}"
required = false
[[sink]]
name = "loki"
type = "loki"
url = "https://127.0.0.1:{dead}/loki/api/v1/push"
tenant = "${{env:TENANT}}"
required = false
[[sink]]
name = "kafka"
type = "kafka"
brokers = ["${{env:BROKER}}"]
topic = "${{env:TOPIC}}"
tls = {{}}
required = false
[[sink]]
name = "search"
type = "elasticsearch"
url = "https://127.0.0.1:{dead}"
index = "${{env:INDEX}}"
required = false
[[sink]]
name = "database"
type = "sql"
url = "${{env:DATABASE}}"
required = false
[[sink]]
name = "azure"
type = "azure"
account_url = "https://${{env:ACCOUNT}}.blob.invalid"
container = "traces"
account_key = "${{file:secret}}"
required = false
[[sink]]
name = "lake"
type = "directory"
path = "${{file:place}}/lake"
batch = {{ age = "500ms", idle = "100ms" }}
"""
SECRET = "c2VjcmV0LWtleS1vZi10aGUtc3RvcmU="


def pieces() -> list[str]:
    """Return every part of a value that could identify it, in the ways in which it may be written.

    `services` and `traces` are words of everyday.
    """
    parts = {
        part
        for value in (*VALUES.values(), SECRET)
        for part in (value, *value.replace("?", "/").replace("=", "/").split("/"))
        if len(part) >= 8 and part not in {"services", "postgresql:"}
    }
    return sorted({form for part in parts for form in (part, quote(part), quote(part, safe=""))})


def test_no_output_log_or_file_of_the_state_has_a_value(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    place = sidecar.folder / "place-0f1e2d3c4b"
    place.mkdir()
    (sidecar.folder / "place").write_text(f"{place}\n")
    (sidecar.folder / "secret").write_text(SECRET)
    sidecar.configure(SINKS.format(dead=free_port()))
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    shown = [sidecar.call("check-config", "--online"), sidecar.call("check-config", "--json")]
    sidecar.start(LOG_LEVEL="debug")
    sidecar.wait_for_event("sink.retry", 8)
    wait_until(lambda: list((place / "lake").rglob("*.jsonl.gz")))
    shown += [sidecar.call("status"), sidecar.call("verify", "store")]
    pages = [sidecar.get(page)[1] for page in ("/status", "/readyz", "/metrics")]
    sidecar.kill()
    shown.append(sidecar.call("status", "--json"))
    texts = {f"{done.args[3:]}": done.stdout + done.stderr for done in shown}
    texts |= {f"page {number}": page for number, page in enumerate(pages)}
    texts["log"] = sidecar.log.read_bytes()
    texts |= {
        str(path): path.read_bytes()
        for path in sidecar.state.rglob("*")
        if path.is_file() and path.parent.name != "cache"
    }
    found = {
        (where, piece)
        for where, text in texts.items()
        for piece in [*pieces(), place.name]
        if piece.encode() in text
    }
    assert found == set()
    assert b"/services/${env:HOOK}" in shown[0].stdout
    assert b"http:${env:WHOLE} " in shown[0].stdout
    for reference in (b"${env:HOST}", b"${env:WHOLE}", b"${env:BUCKET}", b"${env:BROKER}"):
        assert reference in texts["log"]
