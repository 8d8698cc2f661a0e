"""The Kafka sink's destination: a topic of one partition, behind a fault proxy that the broker
advertises.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Message

from tests.contract.patience import PATIENT
from tests.servers.broker import USER, Broker
from tests.servers.stores import SECRET
from tests.servers.toxiproxy import FaultyWay, Toxiproxy
from tracesidecar.model import Compression
from tracesidecar.sinks import kafka
from tracesidecar.sinks.kafka.options import Sasl
from tracesidecar.sinks.sink import Sink

_numbers = itertools.count()


def event_of(message: Message) -> str | bytes | None:
    """Return the id of the event that a message carries in its headers."""
    return dict(message.headers() or ())["event"]


@dataclass
class TopicPlace:
    """Stopping and starting the server means the proxy in front of the broker.

    A message that is there twice counts once: it has the same event id.
    """

    broker: Broker
    way: FaultyWay
    credentials: Path
    topic: str
    type: str = "kafka"
    compression: Compression = "gzip"
    _away: ExitStack = field(default_factory=ExitStack)

    def options(self, **changes: object) -> kafka.Options:
        """Make the options of a sink that goes through the fault proxy."""
        usual = kafka.Options(
            name="bus",
            type="kafka",
            brokers=(f"127.0.0.1:{self.way.port}",),
            topic=self.topic,
            sasl=Sasl(username=USER, password_file=str(self.credentials)),
        )
        return msgspec.structs.replace(usual, **(PATIENT | changes))

    def sink(self, **changes: object) -> Sink:
        """Make a new sink for it; `changes` replaces the usual options."""
        return kafka.build(self.options(**changes))

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        found: dict[str | bytes | None, bytes] = {}
        for message in self.broker.messages(self.topic):
            found.setdefault(event_of(message), message.value() or b"")
        return list(found.values())

    def writes(self) -> int:
        """Return how often the record with the most repeats is there."""
        return max(
            Counter(event_of(message) for message in self.broker.messages(self.topic)).values(),
            default=0,
        )

    def credentials_with(self, secret: str) -> str:
        """Return what the file `credentials` must hold for a secret."""
        return f"{secret}\n"

    def accept_only(self, secret: str) -> None:
        """Have the server accept only this secret from now on."""
        self.broker.set_password(secret)
        with self.way.down():  # Kafka checks credentials only when a connection is opened
            pass

    def start_server(self) -> None:
        """Start the server, for the first time or again."""
        self._away.close()

    def stop_server(self) -> None:
        """Stop the server; it keeps what it has stored."""
        self._away.enter_context(self.way.down())


@pytest.fixture
def kafka_place(tmp_path: Path, broker: Broker, toxiproxy: Toxiproxy) -> Iterator[TopicPlace]:
    """Return a topic of its own behind a fault proxy."""
    credentials = tmp_path / "password"
    topic = f"traces-{next(_numbers)}"
    broker.make_topic(topic)
    ports = broker.ports
    listen, upstream = f"127.0.0.1:{ports.proxied}", f"127.0.0.1:{ports.scram}"
    toxiproxy.call(
        "POST", "/proxies", {"name": topic, "listen": listen, "upstream": upstream, "enabled": True}
    )
    place = TopicPlace(broker, FaultyWay(toxiproxy, topic, ports.proxied), credentials, topic)
    credentials.write_text(place.credentials_with(SECRET))
    place.accept_only(SECRET)
    yield place
    place.start_server()
    toxiproxy.call("DELETE", f"/proxies/{topic}")
