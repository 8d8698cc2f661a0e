"""What every sink promises, tested against real servers, as far as the promise of its type goes."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.batches import ODD_LINES, batch_for, lines_of
from tests.contract.deliveries import World, delivery
from tests.contract.patience import IMPATIENT
from tests.contract.places import NetworkPlace, Place, promise
from tests.servers.processes import wait_until
from tests.servers.stores import SECRET
from tests.servers.toxiproxy import Direction
from tracesidecar.errors import RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.sink import Sink

CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "real-agent-lines.jsonl.gz"


ABANDONED_WITHIN_SECONDS = 240.0
"""Ten times the time-out of an impatient sink, and half that of a patient one."""


async def send_with_at_most_one_retry(sink: Sink, batch: Batch) -> int:
    """Send a batch that has to succeed at once, and return the number of retries.

    One is granted: on a busy machine a healthy server may be slower than an impatient sink.
    """
    world = World()
    assert await delivery(sink, world).send(batch) == ()
    assert len(world.errors) <= 1, world.errors
    return len(world.errors)


def counts_repeats(place: NetworkPlace) -> bool:
    """Return whether a batch that is repeated is one more of the place's writes.

    Where the destination removes repeats, it is not; but of Elasticsearch the requests are counted.
    """
    return promise(place) != "exactly once" or place.type == "elasticsearch"


@asynccontextmanager
async def impatient(place: NetworkPlace) -> AsyncIterator[Sink]:
    """Open a sink that abandons a silent server after seconds; try until it succeeds."""
    sink = place.sink(**IMPATIENT)
    await delivery(sink).connect()
    try:
        yield sink
    finally:
        await sink.__aexit__(None, None, None)


async def test_a_batch_arrives_whole_in_order_and_equal(place: Place) -> None:
    first, second = lines_of(3000), lines_of(3000, mark="second")
    async with place.sink() as sink:
        await sink.send(batch_for(place.type, first, batch_id="b1", compression=place.compression))
        await sink.send(batch_for(place.type, second, batch_id="b2", compression=place.compression))
    assert place.lines() == first + second


async def test_real_lines_arrive_equal(place: Place) -> None:
    if not CORPUS.exists() and os.environ.get("CI") != "true":
        pytest.skip("the corpus of real lines is not beside this checkout")
    lines = gzip.decompress(CORPUS.read_bytes()).split(b"\n")[:-1]
    async with place.sink() as sink:
        await sink.send(batch_for(place.type, lines, compression=place.compression))
    assert place.lines() == lines


async def test_odd_lines_arrive_equal(place: Place) -> None:
    async with place.sink() as sink:
        await sink.send(batch_for(place.type, ODD_LINES, compression=place.compression))
    assert place.lines() == list(ODD_LINES)


async def test_the_same_batch_twice_is_stored_once_if_the_destination_detects_repeats(
    place: Place,
) -> None:
    lines = lines_of(100)
    batch = batch_for(place.type, lines, compression=place.compression)
    for _ in range(2):
        async with place.sink() as sink:
            await sink.send(batch)
            await sink.send(batch)
    assert place.lines() == lines * (4 if promise(place) == "none" else 1)


async def test_a_server_that_is_down_at_start_is_waited_for(network_place: NetworkPlace) -> None:
    lines = lines_of(100)
    network_place.stop_server()
    world = World(repair=network_place.start_server)
    sink = network_place.sink(**IMPATIENT)
    await delivery(sink, world).connect()
    assert await delivery(sink, world).send(batch_for(network_place.type, lines)) == ()
    await sink.__aexit__(None, None, None)
    assert len(world.errors) >= 2
    assert network_place.lines() == lines


async def test_a_server_that_restarts_costs_nothing(network_place: NetworkPlace) -> None:
    lines = lines_of(300)
    world = World(repair=network_place.start_server)
    async with impatient(network_place) as sink:
        await delivery(sink).send(batch_for(network_place.type, lines[:100], batch_id="b1"))
        network_place.stop_server()
        await delivery(sink, world).send(
            batch_for(network_place.type, lines[100:200], batch_id="b2")
        )
        await delivery(sink).send(batch_for(network_place.type, lines[200:], batch_id="b3"))
    assert len(world.errors) >= 2
    assert network_place.lines() == lines


async def test_hundreds_of_failures_in_a_row_exhaust_nothing(network_place: NetworkPlace) -> None:
    lines = lines_of(10)
    world = World(repair=network_place.start_server, repaired_after=300)
    async with impatient(network_place) as sink:
        network_place.stop_server()
        await delivery(sink, world, longest_pause_seconds=0.0).send(
            batch_for(network_place.type, lines)
        )
    assert len(world.errors) >= 300
    assert network_place.lines() == lines


@pytest.mark.parametrize(
    ("kind", "direction", "attributes"),
    [
        pytest.param("reset_peer", "upstream", {"timeout": 0}, id="before the request"),
        pytest.param("limit_data", "upstream", {"bytes": 20_000}, id="in the middle of the body"),
        pytest.param(
            "limit_data", "downstream", {"bytes": 1}, id="after it is stored and before the answer"
        ),
    ],
)
async def test_a_connection_that_is_lost_costs_at_most_a_repeat(
    network_place: NetworkPlace, kind: str, direction: Direction, attributes: dict[str, int]
) -> None:
    lines = lines_of(5000)
    batch = batch_for(network_place.type, lines)
    assert batch.size_bytes > 40_000
    async with impatient(network_place) as sink:
        with network_place.way.fault(kind, direction, **attributes), pytest.raises(RetryLater):
            await sink.send(batch)
        await send_with_at_most_one_retry(sink, batch)
    assert network_place.lines() == lines


async def test_a_silent_server_is_abandoned_after_the_timeout_and_tried_again_with_the_same_id(
    network_place: NetworkPlace,
) -> None:
    lines = lines_of(100)
    batch = batch_for(network_place.type, lines)
    async with impatient(network_place) as sink:
        started = time.monotonic()
        with (
            network_place.way.fault("timeout", "downstream", timeout=0),
            pytest.raises(RetryLater, match="timeout"),
        ):
            await sink.send(batch)
        assert 1.0 <= time.monotonic() - started < ABANDONED_WITHIN_SECONDS
        # Kafka and SQL exchange messages before they send records, and wait for the responses.
        is_certain = network_place.type not in {"kafka", "sql"}
        if is_certain:
            wait_until(lambda: network_place.writes() == 1)
        assert network_place.writes() <= 1
        retries = await send_with_at_most_one_retry(sink, batch)
        if counts_repeats(network_place):
            # Had the silent server been sent the batch twice, the second write would count here.
            assert 1 + is_certain <= network_place.writes() <= 2 + retries
        else:
            assert network_place.writes() == 1
    assert network_place.lines() == lines


async def test_a_server_that_answers_one_byte_at_a_time_is_abandoned_after_the_timeout(
    network_place: NetworkPlace,
) -> None:
    batch = batch_for(network_place.type, lines_of(100))
    async with impatient(network_place) as sink:
        with (
            network_place.way.fault(
                "slicer", "downstream", average_size=1, size_variation=0, delay=500_000
            ),
            pytest.raises(RetryLater),
        ):
            await asyncio.wait_for(sink.send(batch), timeout=ABANDONED_WITHIN_SECONDS)
        await send_with_at_most_one_retry(sink, batch)
    assert network_place.lines() == lines_of(100)


async def test_wrong_credentials_hold_the_sink_until_they_are_fixed_on_disk(
    network_place: NetworkPlace,
) -> None:
    lines, wrong = lines_of(100), "wrong-secret-9876543210"
    network_place.credentials.write_text(network_place.credentials_with(wrong))
    world = World(
        repair=lambda: network_place.credentials.write_text(network_place.credentials_with(SECRET))
    )
    sink = network_place.sink(**IMPATIENT)
    await delivery(sink, world).connect()
    await delivery(sink, world).send(batch_for(network_place.type, lines))
    await sink.__aexit__(None, None, None)
    assert network_place.lines() == lines
    said = "\n".join(map(str, world.errors))
    assert len(world.errors) >= 2
    assert "127.0.0.1" in said
    assert "credentials" in said
    assert wrong not in said


async def test_credentials_that_are_rotated_while_running_are_read_again(
    network_place: NetworkPlace,
) -> None:
    lines, later = lines_of(200), "later-secret-5555555555"
    world = World(
        repair=lambda: network_place.credentials.write_text(network_place.credentials_with(later))
    )
    async with impatient(network_place) as sink:
        await send_with_at_most_one_retry(
            sink, batch_for(network_place.type, lines[:100], batch_id="b1")
        )
        network_place.accept_only(later)
        await delivery(sink, world).send(batch_for(network_place.type, lines[100:], batch_id="b2"))
    assert len(world.errors) >= 2
    assert network_place.lines() == lines
