"""The same traces to several destinations, one of them away for an hour by the clock of its
retries.
"""

from __future__ import annotations

import asyncio
import gzip
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.daemon.sidecar import append, number_lines
from tests.servers.receiving import ReceivingServer
from tests.servers.rsyslog import LogServer
from tests.servers.search import SearchServer
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore
from tests.servers.toxiproxy import FaultyWay, Toxiproxy
from tracesidecar.config.load import load
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.service import Service

AWAY_SECONDS = 3600.0
ROUND_LINES = 50
LINE_BYTES = 25
HEALTHY_ROUNDS = 8
BATCH = 'format = "raw"\nbatch = { age = "300ms", idle = "50ms" }\n'


@dataclass(frozen=True)
class Destination:
    """A real server behind a way of its own; `read` is what it has, by its own means."""

    name: str
    way: FaultyWay
    block: str
    read: Callable[[], list[bytes]]


@pytest.fixture
def store(tmp_path: Path, object_store: ObjectStore, toxiproxy: Toxiproxy) -> Iterator[Destination]:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET}\n"
    )

    def read() -> list[bytes]:
        objects = (
            content for key, content in object_store.objects().items() if key.endswith(".jsonl.gz")
        )
        return [line for content in objects for line in gzip.decompress(content).split(b"\n")[:-1]]

    with toxiproxy.before(object_store.port) as way:
        url = f'endpoint_url = "http://127.0.0.1:{way.port}"\npath_style = true\n'
        yield Destination(
            "store",
            way,
            f'type = "s3"\nbucket = "{BUCKET}"\n{url}credentials_file = "{credentials}"',
            read,
        )


@pytest.fixture
def siem(tmp_path: Path, toxiproxy: Toxiproxy) -> Iterator[Destination]:
    server = LogServer(tmp_path / "rsyslog", "tcp")
    server.start()
    with toxiproxy.before(server.port) as way:
        server.ports.add(way.port)
        yield Destination(
            "siem",
            way,
            f'type = "syslog"\ntransport = "tcp"\nhost = "127.0.0.1"\nport = {way.port}\n'
            'settle = "50ms"',
            server.records,
        )
    server.stop()


@pytest.fixture
def web(receiver: ReceivingServer, toxiproxy: Toxiproxy) -> Iterator[Destination]:
    with toxiproxy.before(receiver.port) as way:
        yield Destination(
            "web",
            way,
            f'type = "http"\nurl = "http://127.0.0.1:{way.port}/"',
            receiver.read_kept_lines,
        )


@pytest.fixture
def search(search_server: SearchServer, toxiproxy: Toxiproxy) -> Iterator[Destination]:
    def read() -> list[bytes]:
        return [
            document["_source"]["event"]["original"].encode()
            for document in search_server.documents()
        ]

    with toxiproxy.before(search_server.port) as way:
        yield Destination(
            "search", way, f'type = "elasticsearch"\nurl = "http://127.0.0.1:{way.port}"', read
        )


@dataclass
class RetryClock:
    """What a sink waits for between two attempts: the next round; its own time goes on by the whole
    pause.
    """

    seconds: float = 0.0
    pauses: int = 0
    round: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep(self, seconds: float) -> None:
        """Let the pause go by."""
        self.seconds += seconds
        self.pauses += 1
        await self.round.wait()

    def next_round(self) -> None:
        """Wake it if it sleeps."""
        self.round.set()
        self.round = asyncio.Event()


class Works:
    """A service in this process over real files; `wrote` is how many lines there are."""

    def __init__(self, folder: Path, destinations: Sequence[Destination]) -> None:
        self.traces = folder / "traces"
        self.traces.mkdir()
        state = folder / "state"
        state.mkdir()
        sinks = "".join(
            f'[[sink]]\nname = "{each.name}"\n{each.block}\n{BATCH}' for each in destinations
        )
        config = folder / "tracesidecar.toml"
        config.write_text(
            f'state_directory = "{state}"\n[[source]]\nname = "agent"\n'
            f'include = ["{self.traces}/*.jsonl"]\n{sinks}'
        )
        self.journal, metrics = Journal.open(str(state)), Metrics()
        wiring = Wiring(
            load(str(config), {}).configuration,
            self.journal,
            metrics,
            watcher=None,
            at=lambda _point: None,
        )
        self.service = Service(
            wiring.worker, wiring.sinks, self.journal, metrics, poll_seconds=0.05
        )
        self.wrote: list[bytes] = []

    def drive(self, name: str) -> RetryClock:
        """Give a sink a clock for its pauses; before it is served."""
        clock, sink = RetryClock(), self.service.sinks[name]
        sink.delivery = replace(sink.delivery, sleep=clock.sleep)
        return clock

    def write(self) -> None:
        """One round more."""
        lines = number_lines(len(self.wrote), ROUND_LINES)
        append(self.traces / f"{len(self.wrote) % 3}.jsonl", lines)
        self.wrote += lines

    def lag_bytes(self, name: str) -> int:
        """What a sink does not have yet."""
        committed = sum(at.offset for at in self.journal.sinks.load_offsets(name).values())
        return sum(path.stat().st_size for path in self.traces.iterdir()) - committed

    async def lag_seconds(self, names: list[str]) -> float:
        """Write a round, and say how long it takes until all of these have it."""
        began = time.monotonic()
        self.write()
        await until(lambda: not any(self.lag_bytes(name) for name in names))
        return time.monotonic() - began


async def until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def stop_sink_for_an_hour(folder: Path, dead: Destination, others: Sequence[Destination]) -> None:
    """Play it: healthy rounds, an hour without one sink, its return, healthy rounds again."""
    everywhere, alive = (dead, *others), [each.name for each in others]

    async def play() -> list[bytes]:
        works = Works(folder, everywhere)
        clock = works.drive(dead.name)
        serving = asyncio.create_task(works.service.run(drain_seconds=60))
        await works.lag_seconds([dead.name, *alive])
        normal = [await works.lag_seconds(alive) for _ in range(HEALTHY_ROUNDS)]
        without = []
        with dead.way.down():
            while clock.seconds < AWAY_SECONDS:
                without.append(await works.lag_seconds(alive))
                clock.next_round()
            missed = works.lag_bytes(dead.name)
        clock.next_round()
        await until(lambda: not works.lag_bytes(dead.name))
        normal += [await works.lag_seconds(alive) for _ in range(HEALTHY_ROUNDS)]
        works.service.stop.set()
        assert not (await serving).left
        works.service.worker.close(lambda context: context.tailer.close())
        assert clock.pauses > 60
        assert missed > len(works.wrote) // 2 * LINE_BYTES, (
            "nearly all of the hour is still to be delivered"
        )
        assert statistics.median(without) < 2 * statistics.median(normal)
        return works.wrote

    wrote = Counter(asyncio.run(play()))
    assert {each.name: Counter(each.read()) for each in everywhere} == {
        each.name: wrote for each in everywhere
    }


@pytest.mark.long
def test_a_destination_away_for_an_hour_costs_two_others_nothing_and_catches_up_exactly(
    tmp_path: Path, store: Destination, siem: Destination, web: Destination
) -> None:
    stop_sink_for_an_hour(tmp_path, web, (store, siem))


@pytest.mark.long
@pytest.mark.parametrize("dead", ["search", "store", "siem"])
def test_any_of_a_store_a_siem_and_a_search_cluster_may_be_away_for_an_hour(
    tmp_path: Path, store: Destination, siem: Destination, search: Destination, dead: str
) -> None:
    chosen = next(each for each in (store, siem, search) if each.name == dead)
    stop_sink_for_an_hour(
        tmp_path, chosen, [each for each in (store, siem, search) if each is not chosen]
    )
