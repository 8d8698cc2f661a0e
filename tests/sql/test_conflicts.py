"""Of two lines with one event id both are kept, the second under an id that follows from both."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable

import msgspec
import pytest

from tests.contract.deliveries import World, delivery
from tests.servers.postgres import PostgresServer
from tests.sql.engines import PostgresSchema, Stored
from tests.sql.traces import batch, event
from tracesidecar.dialects import Event
from tracesidecar.sinks.sql import sink as sql

MINE, YOURS, THEIRS = "/traces/mine.jsonl", "/traces/yours.jsonl", "/traces/theirs.jsonl"


def line(text: str, path: str = MINE, number: int = 1, **given: object) -> Event:
    """Make the event of a line with this text; one number is one id."""
    columns: dict[str, object] = {
        "text": text,
        "source_file": path,
        "line_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    return msgspec.structs.replace(event(number, "user_message", number), **(columns | given))


def derive_id(text: str, number: int = 1) -> str:
    """Return the id under which a second line is stored, by its definition in the docs."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    event_id = line(text, number=number).event_id
    return hashlib.sha256(f"{event_id}\0{digest}".encode()).hexdigest()[:32]


async def deliver(stored: Stored, *batches: Iterable[Event]) -> dict[str, int]:
    """Deliver batch after batch, each by a process of its own; return the conflicts, by path."""
    world = World()
    for number, events in enumerate(batches):
        async with sql.build(stored.options()) as sink:
            assert await delivery(sink, world).send(batch(events, batch_id=f"b{number}")) == ()
    return dict(world.conflicts)


def rows(stored: Stored) -> dict[str, str]:
    return dict(stored.ask("SELECT event_id, text FROM events"))


def turns(stored: Stored) -> list[str]:
    return sorted(id_ for (id_,) in stored.ask("SELECT id FROM agent_traces"))


async def test_who_writes_an_id_first_does_not_make_the_line_of_another_vanish(
    stored: Stored,
) -> None:
    assert await deliver(stored, [line("mine")], [line("yours", YOURS)]) == {YOURS: 1}
    assert rows(stored) == {line("mine").event_id: "mine", derive_id("yours"): "yours"}
    assert turns(stored) == sorted(rows(stored)), "a message of its own begins a turn of its own"


async def test_lines_with_one_id_in_one_batch_are_all_kept(stored: Stored) -> None:
    given = [line("mine"), line("yours", YOURS), line("theirs", THEIRS), line("yours", YOURS)]
    others = [line(f"other {number}", number=number) for number in range(2, 9)]
    assert await deliver(stored, [*others, *given]) == {YOURS: 1, THEIRS: 1}
    kept = {
        line("mine").event_id: "mine",
        derive_id("yours"): "yours",
        derive_id("theirs"): "theirs",
    }
    assert rows(stored) == kept | {each.event_id: each.text for each in others}
    assert turns(stored) == sorted(rows(stored))


async def test_a_repeat_of_either_line_is_found_and_not_counted_again(stored: Stored) -> None:
    both = [line("mine"), line("yours", YOURS)]
    assert await deliver(stored, both, both, [both[1]], [both[1], both[0]]) == {YOURS: 1}
    assert len(rows(stored)) == 2


async def test_each_event_of_a_line_is_compared_for_itself(stored: Stored) -> None:
    """A line with three events meets one with the first and the last of its ids."""
    first = [line("mine", number=number) for number in (1, 3)]
    second = [line("yours", YOURS, number) for number in (1, 2, 3)]
    assert await deliver(stored, first, second) == {YOURS: 2}
    assert rows(stored) == {each.event_id: "mine" for each in first} | {
        derive_id("yours", 1): "yours",
        second[1].event_id: "yours",
        derive_id("yours", 3): "yours",
    }


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"processed_by": "1.0.0+11111111"}, id="by other rules"),
        pytest.param({"processed_by": None}, id="by a version that did not say"),
        pytest.param({"line_sha256": None}, id="without a digest"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_line_that_other_rules_made_is_a_repeat(
    stored: Stored, changes: dict[str, object], *, is_first: bool
) -> None:
    both = [line("mine"), msgspec.structs.replace(line("mine, otherwise redacted"), **changes)]
    first, second = both if is_first else both[::-1]
    assert await deliver(stored, [first], [second]) == {}
    assert rows(stored) == {first.event_id: first.text}


async def test_a_derived_id_that_a_third_line_has_leads_to_the_next(stored: Stored) -> None:
    squatter = line("squatter", THEIRS, event_id=derive_id("yours"))
    assert await deliver(stored, [line("mine"), squatter], [line("yours", YOURS)]) == {YOURS: 1}
    digest = hashlib.sha256(b"yours").hexdigest()
    next_id = hashlib.sha256(f"{derive_id('yours')}\0{digest}".encode()).hexdigest()[:32]
    assert rows(stored) == {
        line("mine").event_id: "mine",
        derive_id("yours"): "squatter",
        next_id: "yours",
    }
    assert await deliver(stored, [line("yours", YOURS)]) == {}


async def test_an_event_that_is_there_under_a_derived_id_counts_as_arrived(stored: Stored) -> None:
    await deliver(stored, [line("mine")], [line("yours", YOURS)])
    async with sql.build(stored.options()) as sink:
        receipt = await sink.find_stored("b1", [line("yours").event_id or "", "0" * 32])
    assert receipt.stored == {0}


async def test_tokens_of_calls_with_one_id_are_all_in_the_sums(stored: Stored) -> None:
    calls = [
        line(text, path, event_kind="model_call", usage_scope="call", input_tokens=tokens)
        for text, path, tokens in (("mine", MINE, 5), ("yours", YOURS, 7))
    ]
    await deliver(stored, *([each] for each in calls))
    assert stored.ask("SELECT CAST(sum(input_tokens) AS integer) FROM model_calls") == [(12,)]
    assert stored.ask("SELECT CAST(sum(prompt_tokens) AS integer) FROM agent_traces") == [(12,)]


async def test_two_daemons_that_write_one_id_at_once_both_keep_their_lines(
    postgres_server: PostgresServer,
) -> None:
    mine = [line(f"mine {number}", number=number) for number in range(300)]
    yours = [line(f"yours {number}", YOURS, number) for number in range(300)]
    with PostgresSchema.on(postgres_server) as schema:
        async with sql.build(schema.options()) as one, sql.build(schema.options()) as other:
            worlds = World(), World()
            for first in range(0, 300, 50):
                await asyncio.gather(
                    *(
                        delivery(sink, world).send(batch(events[first : first + 50]))
                        for sink, world, events in zip(
                            (one, other), worlds, (mine, yours), strict=True
                        )
                    )
                )
        assert sorted(rows(schema).values()) == sorted(str(each.text) for each in mine + yours)
        assert sum((world.conflicts for world in worlds), Counter()).total() == 300
