"""The real servers that the sinks are measured against, one at a time.

Each entry says how the server is started, and which `[[sink]]` block sends to it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.azurite import Azurite, key_of
from tests.servers.broker import Broker
from tests.servers.collecting import Collector
from tests.servers.google_storage import BUCKET as GOOGLE_BUCKET
from tests.servers.google_storage import GoogleStorage
from tests.servers.postgres import PostgresServer
from tests.servers.receiving import ReceivingServer
from tests.servers.rsyslog import Input, LogServer
from tests.servers.search import SearchServer
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore
from tests.sql.engines import PostgresSchema

TOPIC = "traces"


@dataclass(frozen=True, slots=True)
class Destination:
    """A running server and the options of a sink for it, without the sink's name.

    `clear` empties the server. `process` is the server's id where it is not a child of ours.
    """

    block: str
    clear: Callable[[], object] = lambda: None
    process: int | None = None

    @property
    def sink(self) -> str:
        """The block of configuration."""
        return f'[[sink]]\nname = "bench"\n{self.block}\n'


@contextlib.contextmanager
def _up(start: Callable[[], object], stop: Callable[[], object]) -> Iterator[None]:
    start()
    try:
        yield
    finally:
        stop()


def _secret(folder: Path, text: str = SECRET) -> Path:
    path = folder / "secret"
    path.write_text(f"{text}\n")
    return path


@contextlib.contextmanager
def _directory(folder: Path) -> Iterator[Destination]:
    yield Destination(f'type = "directory"\npath = "{folder}/lake"')


@contextlib.contextmanager
def _s3(folder: Path) -> Iterator[Destination]:
    store = ObjectStore(folder / "store")
    with _up(store.start, store.stop):
        credentials = _secret(
            folder, f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET}"
        )
        yield Destination(
            f'type = "s3"\nbucket = "{BUCKET}"\nendpoint_url = "{store.url}"\n'
            f'path_style = true\ncredentials_file = "{credentials}"'
        )


@contextlib.contextmanager
def _gcs(folder: Path) -> Iterator[Destination]:
    store = GoogleStorage(folder / "store")
    with _up(store.start, store.stop):
        credentials = _secret(folder, store.key_file(SECRET))
        yield Destination(
            f'type = "gcs"\nbucket = "{GOOGLE_BUCKET}"\nendpoint_url = "{store.url}"\n'
            f'credentials_file = "{credentials}"'
        )


@contextlib.contextmanager
def _azure(folder: Path) -> Iterator[Destination]:
    store = Azurite(folder / "store")
    with _up(store.start_empty, store.stop):
        credentials = _secret(folder, key_of(SECRET))
        yield Destination(
            f'type = "azure"\naccount_url = "{store.url}"\ncontainer = "{store.container}"\n'
            f'credentials_file = "{credentials}"'
        )


@contextlib.contextmanager
def _receiver(folder: Path) -> Iterator[Destination]:
    receiver = ReceivingServer(folder)
    with _up(receiver.start_empty, receiver.server.stop):
        yield Destination(f'type = "http"\nurl = "{receiver.url}"', receiver.start_empty)


@contextlib.contextmanager
def _datadog(folder: Path) -> Iterator[Destination]:
    receiver = ReceivingServer(folder)
    with _up(receiver.start_empty, receiver.server.stop):
        receiver.order(intake="datadog", secret=SECRET)
        yield Destination(
            f'type = "datadog"\nurl = "http://127.0.0.1:{receiver.port}/api/v2/logs"\n'
            f'api_key_file = "{_secret(folder)}"'
        )


def _log_server(kind: Input, block: str) -> Callable[[Path], AbstractContextManager[Destination]]:
    @contextlib.contextmanager
    def run_server(folder: Path) -> Iterator[Destination]:
        server = LogServer(folder / "rsyslog", kind)
        with _up(server.start, server.stop):
            yield Destination(f'{block}\nhost = "127.0.0.1"\nport = {server.port}')

    return run_server


@contextlib.contextmanager
def _search(folder: Path) -> Iterator[Destination]:
    server = SearchServer(folder)
    with _up(server.start, server.server.stop):
        server.clear()
        yield Destination(f'type = "elasticsearch"\nurl = "{server.url}"', server.clear)


def _collector(port: str, block: str) -> Callable[[Path], AbstractContextManager[Destination]]:
    """Return how a collector is started; `block` has PORT and SECRET in it."""

    @contextlib.contextmanager
    def run_server(folder: Path) -> Iterator[Destination]:
        collector = Collector(folder)
        with _up(collector.start, collector.stop):
            yield Destination(
                block.replace("PORT", str(collector.ports[port])).replace(
                    "SECRET", str(_secret(folder))
                )
            )

    return run_server


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[Destination]:
    server = PostgresServer()
    with _up(server.start, server.destroy), PostgresSchema.on(server) as place:
        process = int(server.run("SELECT pg_read_file('postmaster.pid')")[0][0].split()[0])
        url = f"postgresql://{place.schema}@127.0.0.1:{server.port}/postgres"
        yield Destination(
            f'type = "sql"\nurl = "{url}"\npassword_file = "{_secret(folder)}"\n'
            f'schema = "{place.schema}"',
            process=process,
        )


def _file(scheme: str) -> Callable[[Path], AbstractContextManager[Destination]]:
    @contextlib.contextmanager
    def open_file(folder: Path) -> Iterator[Destination]:
        yield Destination(
            f'type = "sql"\nurl = "{scheme}://{folder}/traces.db"',
            lambda: _remove(folder / "traces.db"),
        )

    return open_file


def _remove(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        os.remove(each)


@contextlib.contextmanager
def _kafka(folder: Path) -> Iterator[Destination]:
    broker = Broker(folder)
    with _up(broker.start_new, broker.server.stop):
        broker.make_topic(TOPIC)
        yield Destination(
            f'type = "kafka"\nbrokers = ["127.0.0.1:{broker.ports.plain}"]\ntopic = "{TOPIC}"'
        )


DESTINATIONS: dict[str, Callable[[Path], AbstractContextManager[Destination]]] = {
    "directory": _directory,
    "s3": _s3,
    "gcs": _gcs,
    "azure": _azure,
    "http": _receiver,
    "syslog": _log_server("tcp", 'type = "syslog"\ntransport = "tcp"'),
    "relp": _log_server("relp", 'type = "relp"'),
    "elasticsearch": _search,
    "splunk": _collector(
        "SPLUNK", 'type = "splunk"\nurl = "http://127.0.0.1:PORT"\ntoken_file = "SECRET"'
    ),
    "loki": _collector(
        "LOKI",
        'type = "loki"\nurl = "http://127.0.0.1:PORT/loki/api/v1/push"\n'
        'auth = { type = "bearer", token_file = "SECRET" }',
    ),
    "otlp": _collector(
        "OTLP",
        'type = "otlp"\nurl = "http://127.0.0.1:PORT/v1/logs"\n'
        'auth = { type = "bearer", token_file = "SECRET" }',
    ),
    "datadog": _datadog,
    "postgresql": _postgres,
    "sqlite": _file("sqlite"),
    "duckdb": _file("duckdb"),
    "kafka": _kafka,
}
"""The servers by the name of their row. Datadog's is our own double: no real one can be run."""
