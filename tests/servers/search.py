"""A real OpenSearch, and a gate in front of it that requires credentials and speaks TLS, because
OpenSearch without its security plugin does neither.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.processes import Server, free_port, require, wait_until
from tracesidecar.ddl.apply import put_templates

JVM = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A small heap, and no second compiler: it is started for a minute."""

OLDEST_FIRST = [{"_seq_no": "asc"}]
PAGE = 2000


class SearchServer:
    """One node; every index has one shard, so that its documents have one order."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        jars, launcher = require("opensearch") / "*", Path(__file__).with_name("SearchNode.java")
        command: list[str | Path] = [
            "java",
            *JVM,
            "-cp",
            jars,
            launcher,
            folder / "node",
            str(self.port),
            str(free_port()),
        ]
        self.server = Server(command, self.port, folder / "log")

    @property
    def url(self) -> str:
        """Its address without a proxy."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again with its data; return when it accepts writes."""
        self.server.start()
        wait_until(
            lambda: self.answers("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")
        )

    def answers(self, method: str, path: str) -> bool:
        """Return whether it answers with success."""
        try:
            self.call(method, path)
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Make one request for the tests."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=600) as response:
            return json.loads(response.read() or b"null")

    def clear(self) -> None:
        """Remove all documents, and install the templates that the product makes."""
        self.call("DELETE", "/_data_stream/*")
        self.call("DELETE", "/*,-.*?expand_wildcards=all")
        put_templates(self.url)

    def documents(self, name: str = "tracesidecar-*,logs-*") -> list[dict[str, Any]]:
        """Read every document, index by index, in the order of arrival."""
        self.call("POST", f"/{name}/_refresh?expand_wildcards=open&ignore_unavailable=true")
        found: list[dict[str, Any]] = []
        for index in sorted(self.call("GET", f"/{name}/_settings?flat_settings=true")):
            found += self._all_of(index)
        return found

    def _all_of(self, index: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: list[int] = [-1]
        while after:
            query = {"size": PAGE, "sort": OLDEST_FIRST, "search_after": after}
            hits = self.call("POST", f"/{index}/_search", query)["hits"]["hits"]
            found += hits
            after = hits[-1]["sort"] if hits else []
        return found


class Gate:
    """A process that forwards requests with the right credentials to the server."""

    def __init__(
        self,
        folder: Path,
        upstream: int,
        *,
        certificate: Path | None = None,
        client_ca: Path | None = None,
    ) -> None:
        self.port = free_port()
        folder.mkdir(exist_ok=True)
        self._orders = folder / "orders.json"
        self._seen = folder / "seen.jsonl"
        tls: list[str | Path] = [] if certificate is None else ["--certificate", certificate]
        tls += [] if client_ca is None else ["--client-ca", client_ca]
        script = Path(__file__).with_name("gate.py")
        files: list[str | Path] = ["--orders", self._orders, "--seen", self._seen]
        self.server = Server(
            [
                sys.executable,
                script,
                "--port",
                str(self.port),
                "--upstream",
                str(upstream),
                *files,
                *tls,
            ],
            self.port,
            folder / "log",
        )
        self.order()

    def order(
        self,
        *,
        authorization: str | None = None,
        answers: dict[str, list[dict[str, object]]] | None = None,
    ) -> None:
        """Set which credentials are right, and how the next requests for paths with that ending are
        answered in place of the server.
        """
        self._seen.write_bytes(b"")
        written = self._orders.with_suffix(".new")
        written.write_text(json.dumps({"authorization": authorization, "answers": answers or {}}))
        written.replace(self._orders)

    def requests(self, path: str = "/_bulk") -> list[dict[str, Any]]:
        """Read the requests for a path since the last order: sizes and statuses."""
        return [
            one
            for one in map(json.loads, self._seen.read_bytes().splitlines())
            if one["path"] == path
        ]


@pytest.fixture(scope="session")
def search_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchServer]:
    """Run one server for all tests."""
    server = SearchServer(tmp_path_factory.mktemp("search"))
    server.start()
    yield server
    server.server.stop()


@pytest.fixture
def search_server(search_process: SearchServer) -> SearchServer:
    """Return the running server, emptied."""
    search_process.clear()
    return search_process
