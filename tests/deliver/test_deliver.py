"""Retry, circuit and bisection, over a sink with scripted answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import pytest

from tracesidecar.deliver.bisect import RejectedRecord, split_lines
from tracesidecar.deliver.delivery import Delivery
from tracesidecar.deliver.retry import RetryPolicy
from tracesidecar.encode.jsonl import encode_lines
from tracesidecar.errors import Rejected, RetryLater, SinkStopped
from tracesidecar.model import Batch, Payload


@dataclass
class Destination:
    """A destination with opinions: answers first what stands in `answers`, then judges records by
    `poison`.
    """

    answers: list[Exception] = field(default_factory=list)
    poison: set[bytes] = field(default_factory=set)
    rejects_all: bool = False
    fails_on: set[bytes] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def send(self, batch: Batch) -> None:
        self.requests.append(batch.id)
        if self.answers:
            raise self.answers.pop(0)
        lines = split_lines(batch)
        if self.fails_on & set(lines):
            raise ValueError("a bug of the sink")
        if self.rejects_all or self.poison & set(lines):
            raise Rejected("bad_request", "status 400")
        self.taken += lines


@dataclass
class Recorder:
    outcomes: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    circuits: list[bool] = field(default_factory=list)
    failing: list[tuple[str, int]] = field(default_factory=list)
    retries: int = 0
    trouble: str = ""

    def record_attempt(self, seconds: float, outcome: str) -> None:
        self.outcomes.append(outcome)

    def record_answer(self) -> None:
        return None

    def record_retry(self, error: RetryLater, pause_seconds: float, failures: int) -> None:
        self.pauses.append(pause_seconds)

    def record_circuit(self, *, is_open: bool) -> None:
        self.circuits.append(is_open)

    def record_failing(self, error: Exception, records: int) -> None:
        self.failing.append((type(error).__name__, records))

    def record_conflicts(self, counts: Mapping[str, int]) -> None:
        raise AssertionError(f"no sink of these tests compares ids: {dict(counts)}")


def batch_of(lines: list[bytes]) -> Batch:
    body = b"".join(line + b"\n" for line in lines)
    return Batch(
        "b1",
        0,
        (Payload("", encode_lines(body, "gzip"), b"", len(lines), compression="gzip"),),
        None,
        len(lines),
        len(body),
        "f",
    )


def delivery(sink: Destination, recorder: Recorder) -> Delivery:
    async def skip_sleep(_seconds: float) -> None:
        return None

    return Delivery(sink, recorder, sleep=skip_sleep)


LINES = [b'{"n":%d}' % n for n in range(5000)]


async def test_a_retriable_answer_is_repeated_under_the_same_id_without_end() -> None:
    sink, recorder = (
        Destination(answers=[RetryLater("throttled") for _ in range(500)]),
        Recorder(),
    )
    assert await delivery(sink, recorder).send(batch_of(LINES[:3])) == ()
    assert sink.requests == ["b1"] * 501
    assert sink.taken == LINES[:3]


async def test_retry_after_is_honoured_and_pauses_stay_bounded() -> None:
    sink, recorder = (
        Destination(
            answers=[
                RetryLater("throttled", after_seconds=90.0),
                *[RetryLater("unavailable") for _ in range(40)],
            ]
        ),
        Recorder(),
    )
    await delivery(sink, recorder).send(batch_of(LINES[:3]))
    assert recorder.pauses[0] == 90.0
    assert max(recorder.pauses[1:]) <= 60.0


async def test_the_circuit_opens_after_five_failures_and_closes_with_the_first_success() -> None:
    sink, recorder = Destination(answers=[RetryLater("unavailable") for _ in range(6)]), Recorder()
    await delivery(sink, recorder).send(batch_of(LINES[:3]))
    assert recorder.circuits == [True, False]


@pytest.mark.parametrize("place", [0, 1, 2499, 2500, 4998, 4999])
async def test_one_poisoned_record_among_five_thousand_is_found_in_few_requests(place: int) -> None:
    sink, recorder = Destination(poison={LINES[place]}), Recorder()
    assert await delivery(sink, recorder).send(batch_of(LINES)) == (
        RejectedRecord(place, "bad_request"),
    )
    assert sink.taken == LINES[:place] + LINES[place + 1 :]
    assert len(sink.requests) <= 2 * math.ceil(math.log2(5000)) + 2


async def test_parts_have_the_same_ids_when_the_bisection_is_repeated() -> None:
    first, second = Destination(poison={LINES[7]}), Destination(poison={LINES[7]})
    await delivery(first, Recorder()).send(batch_of(LINES[:20]))
    await delivery(second, Recorder()).send(batch_of(LINES[:20]))
    assert first.requests == second.requests
    assert first.requests[:2] == ["b1", "b1.0-9"]


async def test_records_named_by_the_destination_are_rejected_and_the_rest_is_sent() -> None:
    sink = Destination(answers=[Rejected("mapping", records=(1, 3))])
    rejected = await delivery(sink, Recorder()).send(batch_of(LINES[:5]))
    assert rejected == (RejectedRecord(1, "mapping"), RejectedRecord(3, "mapping"))
    assert sink.taken == [LINES[0], LINES[2], LINES[4]]


async def test_records_that_are_stored_beside_rejected_ones_are_not_sent_again() -> None:
    sink = Destination(answers=[Rejected("mapping", records=(1, 3), stored=True)])
    rejected = await delivery(sink, Recorder()).send(batch_of([b"a", b"b", b"c", b"d"]))
    assert [record.index for record in rejected] == [1, 3]
    assert sink.requests == ["b1"]


async def test_a_destination_that_only_counts_rejected_records_has_stored_the_others() -> None:
    error = Rejected("partial_success", records=tuple(range(150)), rejected_count=3)
    sink = Destination(answers=[error])
    rejected = await delivery(sink, Recorder()).send(
        batch_of([b"%d" % number for number in range(150)])
    )
    assert rejected == tuple(RejectedRecord(index, "partial_success") for index in range(150))
    assert sink.requests == ["b1"]


async def test_only_the_halves_with_rejected_records_are_bisected() -> None:
    sink = Destination(answers=[Rejected("bad_request", within=(2, 5))], poison={b"3"})
    assert await delivery(sink, Recorder()).send(
        batch_of([b"%d" % number for number in range(9)])
    ) == (RejectedRecord(3, "bad_request"),)
    assert sink.requests == ["b1", "b1.0-1", "b1.2-3", "b1.2-2", "b1.3-3", "b1.4-5", "b1.6-8"]


async def test_a_part_of_which_something_is_stored_is_no_doubt_of_the_destination() -> None:
    partly = Rejected("mapping", records=tuple(range(149)), stored=True)
    sink = Destination(answers=[Rejected("bad_request"), partly])
    rejected = await delivery(sink, Recorder()).send(
        batch_of([b"%d" % number for number in range(300)])
    )
    assert len(rejected) == 149
    assert sink.requests == ["b1", "b1.0-149", "b1.150-299"]


async def test_a_destination_that_rejects_every_record_by_name_stops_with_the_data_kept() -> None:
    lines = [b"%d" % number for number in range(150)]
    sink = Destination(answers=[Rejected("mapping", records=tuple(range(150)))])
    assert await delivery(sink, Recorder()).send(batch_of(lines)) == ()
    assert sink.taken == lines


async def test_a_destination_that_rejects_everything_does_not_fill_the_quarantine() -> None:
    sink, recorder = Destination(rejects_all=True), Recorder()
    paused: list[float] = []

    async def repair_while_waiting(seconds: float) -> None:
        paused.append(seconds)
        sink.rejects_all = False

    assert (
        await Delivery(sink, recorder, sleep=repair_while_waiting).send(batch_of(LINES[:300])) == ()
    )
    assert len(paused) == 1
    assert sink.taken == LINES[:300]


async def test_records_on_which_a_sink_fails_twice_are_rejected_and_the_rest_is_stored() -> None:
    sink, recorder = Destination(fails_on={LINES[3], LINES[250]}), Recorder()
    carrier = delivery(sink, recorder)
    with pytest.raises(ValueError, match="a bug"):
        await carrier.send(batch_of(LINES[:300]))
    assert sink.taken == [], "the sink is begun anew first: it may be its state"
    assert await carrier.send(batch_of(LINES[:300])) == (
        RejectedRecord(3, "not_encodable"),
        RejectedRecord(250, "not_encodable"),
    )
    assert sink.taken == [line for line in LINES[:300] if line not in sink.fails_on]
    assert recorder.failing == [("ValueError", 2)]


@pytest.mark.parametrize("count", [1, 5, 300])
async def test_a_sink_that_fails_on_all_records_has_a_bug_and_they_do_not(count: int) -> None:
    sink, recorder = Destination(fails_on=set(LINES)), Recorder()
    carrier = delivery(sink, recorder)
    for _attempt in range(3):
        with pytest.raises(ValueError, match="a bug"):
            await carrier.send(batch_of(LINES[:count]))
    assert recorder.failing == []


@pytest.mark.parametrize(("count", "is_rejected"), [(1, True), (99, True), (300, False)])
async def test_a_sink_that_has_worked_rejects_some_records_on_which_it_fails_but_not_many(
    count: int, *, is_rejected: bool
) -> None:
    sink, recorder = Destination(fails_on=set(LINES[1:])), Recorder()
    carrier = delivery(sink, recorder)
    await carrier.send(batch_of(LINES[:1]))
    with pytest.raises(ValueError, match="a bug"):
        await carrier.send(batch_of(LINES[1 : count + 1]))
    if is_rejected:
        assert len(await carrier.send(batch_of(LINES[1 : count + 1]))) == count
    else:
        with pytest.raises(ValueError, match="a bug"):
            await carrier.send(batch_of(LINES[1 : count + 1]))


async def test_a_stopped_sink_is_not_retried() -> None:
    sink = Destination(answers=[SinkStopped("conflict")])
    with pytest.raises(SinkStopped):
        await delivery(sink, Recorder()).send(batch_of(LINES[:3]))
    assert sink.requests == ["b1"]


def test_the_pause_grows_to_its_limit_and_never_overflows() -> None:
    policy = RetryPolicy()
    assert policy.pause(1, None) <= 0.5
    assert 30.0 <= policy.pause(10_000, None) <= 60.0
