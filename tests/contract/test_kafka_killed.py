"""A daemon that is killed while it sends has each line in Kafka: once with transactions, otherwise
sometimes repeated under the same event id.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.contract.kafka_place import event_of
from tests.contract.killing import by_event, kill_while_sending
from tests.faults.oracle import differences
from tests.servers.broker import Broker


def run(folder: Path, broker: Broker, kills: int, *, with_transactions: bool) -> list[str]:
    topic = f"killed-{kills}-{with_transactions}"
    broker.make_topic(topic)
    sink = (
        f'name = "bus"\ntype = "kafka"\nbrokers = ["127.0.0.1:{broker.ports.plain}"]\n'
        f'topic = "{topic}"\nformat = "raw"\n'
    )
    expected = kill_while_sending(
        folder, sink + (f'transactional_id = "{topic}"\n' if with_transactions else ""), kills=kills
    )
    messages = [(event_of(message), message.value() or b"") for message in broker.messages(topic)]
    if with_transactions:
        return differences("kafka", expected.delivered, Counter(line for _, line in messages))
    found = Counter(dict(messages).values())
    return differences("kafka", by_event(expected.delivered, found), found)


@pytest.mark.long
def test_a_daemon_killed_five_times_while_it_sends_has_each_line_there_once(
    tmp_path: Path, broker: Broker
) -> None:
    assert run(tmp_path, broker, 5, with_transactions=True) == []


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("with_transactions", [True, False])
def test_a_daemon_killed_fifty_times_while_it_sends_loses_nothing(
    tmp_path: Path, broker: Broker, with_transactions: bool
) -> None:
    assert run(tmp_path, broker, 50, with_transactions=with_transactions) == []
