"""A batch of records whose source changed before it was committed: the destination is asked which
records it has, so nothing is reported lost that arrived, and nothing arrives twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from tests.contract.batches import batch_for, lines_of
from tests.contract.deliveries import delivery
from tests.contract.elasticsearch_place import SearchPlace
from tests.contract.kafka_place import TopicPlace
from tests.contract.places import Place
from tests.daemon.sidecar import Sidecar, append, body, number_lines
from tests.daemon.test_crash import kill_at, remove_links
from tests.servers.broker import Broker
from tests.servers.postgres import PostgresServer
from tests.servers.receiving import ReceivingServer
from tests.servers.rsyslog import LogServer
from tests.servers.search import SearchServer
from tests.servers.stores import SECRET
from tests.sql.engines import PostgresSchema
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.elasticsearch.options import Options
from tracesidecar.sinks.elasticsearch.sink import ElasticsearchSink
from tracesidecar.sinks.elasticsearch.sink import build as build_elasticsearch
from tracesidecar.sinks.registry import build_sink, keeps_records, sink_type
from tracesidecar.sinks.sink import Receipt, RecordKeeper, Sink
from tracesidecar.sinks.stdout.sink import StdoutSink
from tracesidecar.units import Secret

ROWS = "SELECT raw FROM events WHERE raw IS NOT NULL"
PLACES = ["sqlite_place", "duckdb_place", "postgres_place", "elasticsearch_place", "kafka_place"]


# ---------------------------------------------------------------- the question


def sink_of(place: Place) -> Sink:
    return place.sink(transactional_id="asked") if isinstance(place, TopicPlace) else place.sink()


@pytest.mark.parametrize("place_name", PLACES)
async def test_a_destination_says_which_records_it_has(
    place_name: str, request: pytest.FixtureRequest
) -> None:
    place: Place = request.getfixturevalue(place_name)
    batch, strange = batch_for(place.type, lines_of(600)), "0" * 32
    ids = [record.id for record in batch.records]
    async with sink_of(place) as sink:
        assert isinstance(sink, RecordKeeper)
        before = await sink.find_stored(batch.id, ids)
        assert before is not None
        assert before.stored == frozenset()
        await sink.send(batch)
    async with sink_of(place) as sink:
        assert isinstance(sink, RecordKeeper)
        after = await sink.find_stored(batch.id, ids)
        assert after is not None
        assert (after.stored, after.rejected) == (frozenset(range(600)), {})
        other = await sink.find_stored("another", [strange, strange])
        assert other is not None
        assert other.stored == frozenset()


async def test_a_data_stream_says_which_records_it_has(elasticsearch_place: SearchPlace) -> None:
    batch = batch_for("elasticsearch", lines_of(5))
    ids = [*(record.id for record in batch.records), "0" * 32]
    async with elasticsearch_place.sink(data_stream="logs-tracesidecar.raw-default") as sink:
        await sink.send(batch)
        assert isinstance(sink, RecordKeeper)
        assert await sink.find_stored(batch.id, ids) == Receipt(frozenset(range(5)))


def test_who_declares_to_keep_records_can_be_asked() -> None:
    more: dict[str, dict[str, Any]] = {
        "sql": {"url": Secret("sqlite:///nowhere")},
        "elasticsearch": {"url": "http://127.0.0.1"},
        "kafka": {"brokers": ("127.0.0.1:1",), "topic": "t", "transactional_id": "t"},
        "loki": {"url": "http://127.0.0.1"},
        "otlp": {"url": "http://127.0.0.1"},
    }
    for name, each in more.items():
        options = sink_type(name).options(name="x", type=name, **each)
        assert keeps_records(options) is isinstance(build_sink(options), RecordKeeper), name
    without = {**more["kafka"], "transactional_id": ""}
    plain = sink_type("kafka").options(name="x", type="kafka", **without)
    assert not keeps_records(plain)


# ---------------------------------------------------------------- the daemon


@dataclass(frozen=True)
class Destination:
    """A sink of the configuration, and the lines that arrived there.

    `forget` removes the events of some lines (by their `uuid`), as if they had not arrived.
    """

    options: str
    lines: Callable[[], list[bytes]]
    forget: Callable[[list[str]], object] = lambda _ids: None


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    folder = tmp_path / "sidecar"
    folder.mkdir()
    sidecar = Sidecar(folder)
    yield sidecar
    sidecar.kill()


@pytest.fixture
def sqlite_sink(tmp_path: Path) -> Destination:
    path = tmp_path / "traces.db"

    def lines() -> list[bytes]:
        with closing(sqlite3.connect(path)) as connection:
            return [raw.encode() for (raw,) in connection.execute(ROWS)]

    def forget(ids: list[str]) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executemany(
                "DELETE FROM events WHERE native_id = ?", [(each,) for each in ids]
            )

    return Destination(f'type = "sql"\nurl = "sqlite://{path}"', lines, forget)


@pytest.fixture
def duckdb_sink(tmp_path: Path) -> Destination:
    path = tmp_path / "traces.duckdb"

    def lines() -> list[bytes]:
        with duckdb.connect(str(path), read_only=True) as connection:
            return [raw.encode() for (raw,) in connection.execute(ROWS).fetchall()]

    return Destination(f'type = "sql"\nurl = "duckdb://{path}"', lines)


@pytest.fixture
def postgres_sink(postgres_server: PostgresServer) -> Iterator[Destination]:
    with PostgresSchema.on(postgres_server) as schema:
        options = (
            f'type = "sql"\nurl = "{str.__str__(schema.options().url)}"\n'
            f'schema = "{schema.schema}"\npassword = "{SECRET}"'
        )
        yield Destination(options, lambda: [raw.encode() for (raw,) in schema.ask(ROWS)])


@pytest.fixture
def search_sink(search_server: SearchServer) -> Destination:
    def lines() -> list[bytes]:
        return [
            document["_source"]["event"]["original"].encode()
            for document in search_server.documents()
        ]

    def forget(ids: list[str]) -> None:
        for document in search_server.documents():
            if json.loads(document["_source"]["event"]["original"])["uuid"] in ids:
                search_server.call("DELETE", f"/{document['_index']}/_doc/{document['_id']}")
        search_server.call("POST", "/_refresh")

    options = f'type = "elasticsearch"\nurl = "{search_server.url}"\nformat = "raw"'
    return Destination(options, lines, forget)


def into_topic(broker: Broker, topic: str) -> Destination:
    return Destination(
        f'type = "kafka"\nbrokers = ["127.0.0.1:{broker.ports.plain}"]\ntopic = "{topic}"\n'
        f'format = "raw"\ntransactional_id = "{topic}"',
        lambda: [message.value() or b"" for message in broker.messages(topic)],
    )


@pytest.fixture
def kafka_sink(broker: Broker, tmp_path: Path) -> Destination:
    topic = f"half-{tmp_path.name}"
    broker.make_topic(topic)
    return into_topic(broker, topic)


@pytest.fixture
def plain_kafka_sink(kafka_sink: Destination) -> Destination:
    """Without transactions there is no marker: nobody can ask."""
    options, _, _ = kafka_sink.options.rpartition("\n")
    return replace(kafka_sink, options=options)


@pytest.fixture
def syslog_sink(tmp_path: Path) -> Iterator[Destination]:
    server = LogServer(tmp_path / "syslog", "tcp")
    server.start()
    options = (
        f'type = "syslog"\ntransport = "tcp"\nhost = "127.0.0.1"\nport = {server.port}\n'
        'format = "raw"\nmax_message = "1MiB"'
    )
    yield Destination(options, lambda: [one.record for one in server.read_understood()])
    server.stop()


SINKS = [
    "sqlite_sink",
    *(
        pytest.param(name, marks=pytest.mark.long)
        for name in ("duckdb_sink", "postgres_sink", "search_sink", "kafka_sink")
    ),
]


@pytest.fixture
def destination(request: pytest.FixtureRequest, sidecar: Sidecar) -> Destination:
    found: Destination = request.getfixturevalue(request.param)
    sidecar.configure(
        f'[[sink]]\nname = "far"\n{found.options}\nbatch = {{ age = "500ms", idle = "100ms" }}\n'
    )
    return found


def make_messages(who: str, first: int, count: int) -> list[bytes]:
    """Lines as an agent writes them, each with an id of its own."""
    return [
        json.dumps(
            {
                "type": "user",
                "timestamp": f"2026-01-01T10:00:{n:02d}Z",
                "sessionId": who,
                "uuid": f"{who}-{n}",
                "message": {"role": "user", "content": f"{who} said {n}"},
            }
        ).encode()
        for n in range(first, first + count)
    ]


def losses(sidecar: Sidecar) -> int:
    status = msgspec.json.decode(sidecar.ask("status", "--json").stdout)
    return int(status["sources"][0]["lost_bytes"])


@pytest.mark.parametrize("destination", SINKS, indirect=True)
def test_what_arrived_is_not_lost_whatever_became_of_its_files(
    sidecar: Sidecar, destination: Destination
) -> None:
    """One file deleted, one rewritten, one truncated and refilled, one as it was."""
    files = {name: sidecar.traces / f"{name}.jsonl" for name in ("gone", "new", "cut", "same")}
    for name, path in files.items():
        append(path, make_messages(name, 0, 10))
    kill_at(sidecar, "sent")
    remove_links(sidecar)
    files["gone"].unlink()
    files["new"].with_suffix(".tmp").write_bytes(body(make_messages("newer", 0, 12)))
    files["new"].with_suffix(".tmp").replace(files["new"])
    with files["cut"].open("r+b") as file:
        file.truncate()
    append(files["cut"], make_messages("cut", 10, 3))
    append(files["same"], make_messages("same", 10, 3))
    assert sidecar.ship().returncode == 0
    wanted = [line for name in files for line in make_messages(name, 0, 10)]
    wanted += (
        make_messages("newer", 0, 12) + make_messages("cut", 10, 3) + make_messages("same", 10, 3)
    )
    assert Counter(destination.lines()) == Counter(wanted)
    assert losses(sidecar) == 0
    assert sidecar.ship().returncode == 0
    assert Counter(destination.lines()) == Counter(wanted)


@pytest.mark.parametrize(
    "destination",
    ["syslog_sink", pytest.param("plain_kafka_sink", marks=pytest.mark.long)],
    indirect=True,
)
@pytest.mark.parametrize("point", ["sent", pytest.param("sending", marks=pytest.mark.long)])
def test_one_that_cannot_be_asked_gets_what_can_be_read_and_the_rest_counts_as_lost(
    sidecar: Sidecar, destination: Destination, point: str
) -> None:
    """Nobody can tell what arrived: nothing may be missing that is not reported."""
    gone, cut, same = (sidecar.traces / f"{name}.jsonl" for name in ("gone", "cut", "same"))
    for path in (gone, cut, same):
        append(path, make_messages(path.stem, 0, 10))
    kill_at(sidecar, point)
    remove_links(sidecar)
    gone.unlink()
    cut.write_bytes(body(make_messages("cut", 20, 2)))
    append(same, make_messages("same", 10, 3))
    done = sidecar.ship()
    assert done.returncode == 0
    events = [json.loads(line) for line in done.stderr.splitlines()]
    [changed] = [each for each in events if each["event"] == "sink.plan_source_changed"]
    assert changed["is_known"] is False
    sent_once = [line for path in (gone, cut) for line in make_messages(path.stem, 0, 10)]
    again, fresh = make_messages("same", 0, 10), make_messages("same", 10, 3)
    fresh += make_messages("cut", 20, 2)
    expected = Counter([*again, *fresh])
    if point == "sent":
        expected += Counter([*sent_once, *again])
    assert Counter(destination.lines()) == expected
    assert losses(sidecar) == len(body(sent_once)), "though it may have arrived"
    assert sidecar.ship().returncode == 0
    assert Counter(destination.lines()) == expected, "once"


@pytest.mark.long
@pytest.mark.parametrize("destination", SINKS, indirect=True)
def test_what_did_not_arrive_is_lost_and_the_rest_is_sent(
    sidecar: Sidecar, destination: Destination
) -> None:
    gone, same = sidecar.traces / "gone.jsonl", sidecar.traces / "same.jsonl"
    append(gone, make_messages("gone", 0, 10))
    append(same, make_messages("same", 0, 10))
    kill_at(sidecar, "sending")
    remove_links(sidecar)
    gone.unlink()
    kill_at(sidecar, "sent")  # once more, with the rest at the destination
    append(same, make_messages("same", 10, 3))
    assert sidecar.ship().returncode == 0
    assert Counter(destination.lines()) == Counter(make_messages("same", 0, 13))
    assert losses(sidecar) == len(body(make_messages("gone", 0, 10)))


@pytest.mark.parametrize(
    "destination",
    ["sqlite_sink", pytest.param("search_sink", marks=pytest.mark.long)],
    indirect=True,
)
def test_of_half_a_batch_each_line_counts_by_itself(
    sidecar: Sidecar, destination: Destination
) -> None:
    """A destination stored some records; gaps and the rest are lost where the file is gone."""
    gone, cut, same = (sidecar.traces / f"{name}.jsonl" for name in ("gone", "cut", "same"))
    for path in (gone, cut, same):
        append(path, make_messages(path.stem, 0, 10))
    kill_at(sidecar, "sent")
    missing = {"gone": {0, 4, 5, 8, 9}, "cut": {7}, "same": {0, 3, 9}}
    destination.forget([f"{name}-{n}" for name, lines in missing.items() for n in lines])
    remove_links(sidecar)
    gone.unlink()
    cut.write_bytes(body(make_messages("cut", 20, 2)))
    kill_at(sidecar, "sent")
    assert sidecar.ship().returncode == 0
    there = {name: set(range(10)) - lines for name, lines in missing.items()}
    there["same"] = set(range(10))
    wanted = [
        line for name, lines in there.items() for n in lines for line in make_messages(name, n, 1)
    ]
    assert Counter(destination.lines()) == Counter(wanted + make_messages("cut", 20, 2))
    assert losses(sidecar) == sum(
        len(body(make_messages(name, n, 1))) for name in ("gone", "cut") for n in missing[name]
    )


@pytest.mark.long
@pytest.mark.parametrize("destination", ["sqlite_sink", "kafka_sink"], indirect=True)
def test_a_line_that_was_changed_in_the_middle_repeats_none_of_its_neighbours(
    sidecar: Sidecar, destination: Destination
) -> None:
    """The file is still the same one by its beginning and end, and goes on after the batch."""
    path, lines = sidecar.traces / "a.jsonl", make_messages("long", 0, 200)
    append(path, lines)
    kill_at(sidecar, "sent")
    changed = body(lines).replace(b"long said 100", b"long SAID 100")
    with path.open("r+b") as file:
        file.write(changed)
    append(path, make_messages("more", 0, 5))
    assert sidecar.ship().returncode == 0
    assert Counter(destination.lines()) == Counter(lines + make_messages("more", 0, 5))
    assert losses(sidecar) == 0


@pytest.mark.long
@pytest.mark.parametrize("destination", ["sqlite_sink", "kafka_sink"], indirect=True)
def test_rejected_lines_of_a_batch_that_arrived_reach_quarantine_without_their_file(
    sidecar: Sidecar, destination: Destination
) -> None:
    gone, torn = sidecar.traces / "gone.jsonl", sidecar.traces / "torn.jsonl"
    append(gone, [*make_messages("gone", 0, 3), b"{torn", *make_messages("gone", 3, 3)])
    append(torn, [b"{no", b"{json"])
    append(sidecar.traces / "same.jsonl", [*make_messages("same", 0, 3), b"{also"])
    kill_at(sidecar, "sent")
    remove_links(sidecar)
    gone.unlink()
    torn.unlink()
    assert sidecar.ship().returncode == 0
    assert Counter(destination.lines()) == Counter(
        make_messages("gone", 0, 6) + make_messages("same", 0, 3)
    )
    assert losses(sidecar) == 0
    listed = msgspec.json.decode(sidecar.ask("quarantine", "list", "--json").stdout)
    names = sorted(Path(each["path"]).stem for each in listed["quarantine"])
    assert names == ["gone", "same", "torn", "torn"]


@pytest.mark.parametrize("destination", SINKS, indirect=True)
@pytest.mark.parametrize("way", ["cut", pytest.param("written", marks=pytest.mark.long)])
def test_lines_without_ids_that_arrived_of_a_file_that_is_changed_after_them_come_once(
    sidecar: Sidecar, destination: Destination, way: str
) -> None:
    """They have no id but their place, and in the rewritten file that is another one."""
    path = sidecar.traces / "a.jsonl"
    lines = number_lines(0, 20)
    append(path, lines)
    kill_at(sidecar, "sent")
    more = number_lines(50, 3 if way == "cut" else 40)
    with path.open("r+b") as file:
        file.truncate(len(body(lines[:15])))
    append(path, more)
    assert sidecar.ship().returncode == 0
    assert Counter(destination.lines()) == Counter(lines + more)
    assert losses(sidecar) == 0


# ---------------------------------------------------------------- who may not ask


PRIVILEGES = {"has_all_requested": True}


@pytest.mark.parametrize(
    "answers",
    [
        [{"status": 200, "body": json.dumps({"has_all_requested": False})}],
        [{"status": 405}, {"status": 403, "body": "{}"}],
        [{"status": 405}, {"status": 404, "body": "<html>"}],
        [
            {"status": 200, "body": json.dumps(PRIVILEGES)},
            {"status": 200, "body": '{"_shards":{"failed":0}}'},
            {"status": 403, "body": "{}"},
        ],
    ],
)
async def test_credentials_that_may_only_write_documents_cannot_ask(
    receiver: ReceivingServer, answers: list[dict[str, Any]]
) -> None:
    receiver.order(answers=[{"status": 405}, *answers])
    async with search_sink_of(receiver) as sink:
        with pytest.raises(RetryLater, match="read and maintenance") as caught:
            await sink.find_stored("b", ["0" * 32])
    assert caught.value.reason == "denied"


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 503},
        {"status": 200, "body": '{"_shards":{"failed":1}}'},
        {"status": 200, "headers": {"Content-Type": "text/html"}, "body": "<html>"},
        {"status": 400, "body": "{}"},
        {"status": 200, "body": "{}"},
        {"status": 401},
    ],
)
async def test_an_answer_that_is_none_says_nothing_of_the_documents(
    receiver: ReceivingServer, answer: dict[str, Any]
) -> None:
    receiver.order(answers=[{"status": 405}, {"status": 405}, answer])
    async with search_sink_of(receiver) as sink:
        with pytest.raises(RetryLater):
            await sink.find_stored("b", ["0" * 32])


def search_sink_of(receiver: ReceivingServer) -> ElasticsearchSink:
    url = f"http://127.0.0.1:{receiver.port}"
    return build_elasticsearch(
        Options(name="x", type="elasticsearch", url=url, check_template=False)
    )


async def test_who_cannot_tell_is_asked_twice_and_no_more() -> None:
    asked: list[str] = []

    async def exists(name: str) -> bool:
        asked.append(name)
        raise RetryLater("denied", "the credentials may only write")

    assert await delivery(StdoutSink(1)).ask(exists, "an object") is None
    assert asked == ["an object"] * 2
