"""The seven destinations that promise each line once, as real servers with one sink each.

Some of the objects are small enough for one request, others go to S3 and Azure in parts.
"""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import google_storage
from tests.servers.azurite import Azurite, key_of
from tests.servers.broker import Broker
from tests.servers.google_storage import GoogleStorage
from tests.servers.postgres import PostgresServer
from tests.servers.search import SearchServer
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore
from tests.sql.engines import PostgresSchema

BATCH = 'batch = { bytes = "256KiB", lines = 40, age = "1s", idle = "100ms" }'

DELIVERED = """SELECT line_sha256, max(times) FROM (
  SELECT line_sha256, raw, count(*) AS times FROM events
  WHERE raw IS NOT NULL GROUP BY line_sha256, raw
) AS parts GROUP BY line_sha256"""
"""The first event of each line has the line in `raw`. Each record of an OTLP line has its own part
of it, so the most common one counts.
"""


@dataclass(frozen=True)
class Destination:
    """A server that runs, and a sink for it.

    `count` reads back how often each line is there, by its SHA-256. `keeps_objects`: `verify` can
    prove what is there. `merges_events`: rows with the same event id are one row.
    """

    name: str
    options: str
    count: Callable[[], Counter[str]]
    keeps_objects: bool = False
    merges_events: bool = False

    @property
    def block(self) -> str:
        """Return the sink's block of the configuration, with small batches."""
        return f'[[sink]]\nname = "{self.name}"\n{self.options}\n{BATCH}\n'


def digests(lines: Iterable[bytes]) -> Counter[str]:
    """Count lines by their digest."""
    return Counter(hashlib.sha256(line).hexdigest() for line in lines)


def lines_of(objects: Iterable[bytes]) -> Counter[bytes]:
    """Count the lines of gzip objects."""
    return Counter(
        line for content in objects for line in gzip.decompress(content).split(b"\n")[:-1]
    )


def _lines_of_store(objects: dict[str, bytes]) -> Counter[str]:
    packed = (content for name, content in objects.items() if name.endswith(".jsonl.gz"))
    return digests(lines_of(packed).elements())


@contextmanager
def directory(folder: Path) -> Iterator[Destination]:
    """Deliver to a folder."""
    lake = folder / "lake"

    def count() -> Counter[str]:
        return _lines_of_store({path.name: path.read_bytes() for path in lake.rglob("*.jsonl.gz")})

    yield Destination("directory", f'type = "directory"\npath = "{lake}"', count, True)


@contextmanager
def s3(folder: Path) -> Iterator[Destination]:
    """Deliver to a bucket of an S3 store."""
    store = ObjectStore(folder)
    store.start()
    options = (
        f'type = "s3"\nbucket = "{BUCKET}"\nregion = "us-east-1"\nendpoint_url = "{store.url}"\n'
        f'path_style = true\naccess_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET}"\n'
        'multipart_above = "16KiB"'
    )
    try:
        yield Destination("s3", options, lambda: _lines_of_store(store.objects()), True)
    finally:
        store.stop()


@contextmanager
def gcs(folder: Path) -> Iterator[Destination]:
    """Deliver to a bucket of Google Cloud Storage."""
    store = GoogleStorage(folder)
    store.start()
    options = f'type = "gcs"\nbucket = "{google_storage.BUCKET}"\nendpoint_url = "{store.open_url}"'
    try:
        yield Destination("gcs", options, lambda: _lines_of_store(store.objects()), True)
    finally:
        store.stop()


@contextmanager
def azure(folder: Path) -> Iterator[Destination]:
    """Deliver to a container of Azure Blob Storage."""
    store = Azurite(folder)
    store.start_empty()
    options = (
        f'type = "azure"\ncontainer = "{store.container}"\naccount_url = "{store.url}"\n'
        f'account_key = "{key_of(SECRET)}"\nblocks_above = "16KiB"\nblock_size = "8KiB"'
    )
    try:
        yield Destination("azure", options, lambda: _lines_of_store(store.objects()), True)
    finally:
        store.stop()


@contextmanager
def sql(folder: Path) -> Iterator[Destination]:
    """Deliver to a schema of PostgreSQL."""
    server = PostgresServer()
    server.start()
    try:
        with PostgresSchema.on(server) as schema:
            options = (
                f'type = "sql"\nurl = "{str.__str__(schema.options().url)}"\n'
                f'schema = "{schema.schema}"\npassword = "{SECRET}"'
            )

            def count() -> Counter[str]:
                return Counter(dict(schema.ask(DELIVERED)))

            yield Destination("sql", options, count, merges_events=True)
    finally:
        server.destroy()


@contextmanager
def elasticsearch(folder: Path) -> Iterator[Destination]:
    """Deliver to an index."""
    search = SearchServer(folder)
    search.start()
    search.clear()
    options = f'type = "elasticsearch"\nurl = "{search.url}"\nformat = "raw"'

    def count() -> Counter[str]:
        return digests(
            document["_source"]["event"]["original"].encode() for document in search.documents()
        )

    try:
        yield Destination("elasticsearch", options, count, merges_events=True)
    finally:
        search.server.stop()


@contextmanager
def kafka(folder: Path) -> Iterator[Destination]:
    """Deliver to a topic."""
    broker, topic = Broker(folder), "killed"
    broker.start_new()
    broker.make_topic(topic)
    options = (
        f'type = "kafka"\nbrokers = ["127.0.0.1:{broker.ports.plain}"]\ntopic = "{topic}"\n'
        f'format = "raw"\ntransactional_id = "{topic}"'
    )

    def count() -> Counter[str]:
        return digests(message.value() or b"" for message in broker.messages(topic))

    try:
        yield Destination("kafka", options, count)
    finally:
        broker.server.stop()


DESTINATIONS: dict[str, Callable[[Path], AbstractContextManager[Destination]]] = {
    "directory": directory,
    "s3": s3,
    "gcs": gcs,
    "azure": azure,
    "sql": sql,
    "elasticsearch": elasticsearch,
    "kafka": kafka,
}
"""By the type of the sink: start the server on an empty folder of its own."""
