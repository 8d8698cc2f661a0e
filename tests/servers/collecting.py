"""The OpenTelemetry Collector as a Splunk, Loki and OTLP receiver: start it with its tokens, and
read back what arrived from its file.
"""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.processes import Server, free_port, require, wait_until
from tests.servers.stores import SECRET

LogRecord = dict[str, Any]

CONFIGURATION = """
extensions:
  ack: {}
  bearertokenauth/splunk: {scheme: Splunk, token: TOKEN}
  bearertokenauth: {scheme: Bearer, token: TOKEN}
receivers:
  splunk_hec: {endpoint: "127.0.0.1:SPLUNK", \
auth: {authenticator: bearertokenauth/splunk} TLS, ack: {extension: ack}}
  splunk_hec/plain: {endpoint: "127.0.0.1:PLAIN", auth: {authenticator: bearertokenauth/splunk}}
  loki: {protocols: {http: {endpoint: "127.0.0.1:LOKI", \
auth: {authenticator: bearertokenauth} TLS}}}
  otlp: {protocols: {http: {endpoint: "127.0.0.1:OTLP", \
auth: {authenticator: bearertokenauth} TLS}}}
  otlp/mark: {protocols: {http: {endpoint: "127.0.0.1:MARK"}}}
exporters:
  file: {path: "OUTPUT", append: true, flush_interval: 20ms}
service:
  telemetry: {metrics: {level: none}, logs: {level: error}}
  extensions: [ack, bearertokenauth/splunk, bearertokenauth]
  pipelines: {logs: {receivers: [splunk_hec, splunk_hec/plain, loki, otlp, otlp/mark], \
exporters: [file]}}
"""


class Collector:
    """A collector process with its file, which survives a restart.

    At first it accepts `SECRET` as the token of every receiver.
    """

    def __init__(
        self, folder: Path, *, certificate: Path | None = None, client_ca: Path | None = None
    ) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("SPLUNK", "PLAIN", "LOKI", "OTLP", "MARK")}
        self.secret = SECRET
        self._output = folder / "arrived.jsonl"
        self._configuration = folder / "collector.yaml"
        client = "" if client_ca is None else f", client_ca_file: {client_ca}"
        self._tls = (
            ""
            if certificate is None
            else f", tls: {{cert_file: {certificate}, key_file: {certificate}{client}}}"
        )
        self._server = Server(
            [require("otelcol"), "--config", self._configuration],
            self.ports["MARK"],
            folder / "log",
        )
        self._seen_bytes = 0

    def start(self) -> None:
        """Start the process; it is up when all its receivers are."""
        text = (
            CONFIGURATION.replace("TOKEN", self.secret)
            .replace("TLS", self._tls)
            .replace("OUTPUT", str(self._output))
        )
        for name, port in self.ports.items():
            text = text.replace(f":{name}", f":{port}")
        self._configuration.write_text(text)
        self._server.start()
        self._mark()

    def stop(self) -> None:
        """Stop the process."""
        self._server.stop()

    def start_empty(self) -> None:
        """Start it with the first secret, and discard what has arrived before."""
        if not self._server.is_running:
            self.start()
        self.accept_only(SECRET)
        self._mark()
        self._seen_bytes = self._output.stat().st_size

    def accept_only(self, secret: str) -> None:
        """Start again with another token, unless it is the same."""
        if secret != self.secret:
            self.stop()
            self.secret = secret
            self.start()

    def requests(self) -> list[list[LogRecord]]:
        """Read back the log records of each request, in order; resource attributes are put to those
        of the record.
        """
        if self._server.is_running:
            self._mark()
        arrived = self._output.read_bytes()[self._seen_bytes :].splitlines()
        requests = [
            [
                record
                for resource in json.loads(line).get("resourceLogs", ())
                for record in _records(resource)
            ]
            for line in arrived
        ]
        return [request for request in requests if request and "mark" not in attributes(request[0])]

    def records(self) -> list[LogRecord]:
        """Read back all log records, in order."""
        return [record for request in self.requests() for record in request]

    def _mark(self) -> None:
        """Send a marker and wait for it in the file: then everything before it is there too."""
        mark = uuid.uuid4().hex
        record = {
            "body": {"stringValue": ""},
            "attributes": [{"key": "mark", "value": {"stringValue": mark}}],
        }
        data = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
        url = f"http://127.0.0.1:{self.ports['MARK']}/v1/logs"
        urllib.request.urlopen(
            urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=120
        ).close()
        wait_until(
            lambda: (
                self._output.exists()
                and mark.encode() in self._output.read_bytes()[self._seen_bytes :]
            )
        )


def attributes(record: LogRecord) -> dict[str, str]:
    """The text attributes of a record."""
    return {
        item["key"]: item["value"].get("stringValue", "") for item in record.get("attributes", ())
    }


def body(record: LogRecord) -> bytes:
    """The text of a record."""
    text: str = record["body"]["stringValue"]
    return text.encode()


def _records(resource: dict[str, Any]) -> Iterator[LogRecord]:
    shared = resource.get("resource", {}).get("attributes", [])
    for scope in resource["scopeLogs"]:
        for record in scope.get("logRecords", ()):
            yield {**record, "attributes": [*shared, *record.get("attributes", ())]}


@pytest.fixture(scope="session")
def collector_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Run one collector for all tests."""
    collector = Collector(tmp_path_factory.mktemp("collector"))
    collector.start()
    yield collector
    collector.stop()


@pytest.fixture
def collector(collector_process: Collector) -> Collector:
    """Return the running collector, emptied."""
    collector_process.start_empty()
    return collector_process
