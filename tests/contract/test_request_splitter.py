"""How a batch of records becomes requests: within the limits, in order, and without what is stored
already.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Self

import pytest

from tests.contract.batches import batch_for, lines_of
from tests.contract.deliveries import delivery
from tracesidecar.deliver.bisect import part
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.transport.request_splitter import (
    RecordRequest,
    RequestLimits,
    RequestSplitter,
)


class SplittingSink(Sink):
    """A sink whose destination decides on requests by a function, and keeps the bodies of those it
    accepts.
    """

    def __init__(
        self, limits: RequestLimits, judge: Callable[[RecordRequest], None] = lambda request: None
    ) -> None:
        self.kept: list[bytes] = []
        self.sent: list[list[int]] = []
        self._requests = RequestSplitter(limits, lambda record: record.body)
        self._judge = judge

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    async def send(self, batch: Batch) -> None:
        await self._requests.send(batch, self._post)

    async def _post(self, request: RecordRequest) -> None:
        self.sent.append(list(request.indexes))
        self._judge(request)
        self.kept += request.elements


def batch_of(count: int, size_bytes: int = 80, batch_id: str = "b1") -> Batch:
    return batch_for("splunk", lines_of(count, size_bytes), batch_id=batch_id)


async def test_a_request_holds_no_more_records_than_the_limit() -> None:
    sink = SplittingSink(RequestLimits(records=1000, size_bytes=1 << 30))
    await sink.send(batch_of(2500))
    assert list(map(len, sink.sent)) == [1000, 1000, 500]
    assert sink.kept == lines_of(2500)


async def test_a_request_holds_no_more_bytes_than_the_limit_with_their_separators() -> None:
    lines = lines_of(100)
    limit = sum(len(line) + 1 for line in lines[:10])
    exact, tight = (
        SplittingSink(RequestLimits(1000, limit)),
        SplittingSink(RequestLimits(1000, limit - 1)),
    )
    await exact.send(batch_of(100))
    await tight.send(batch_of(100))
    assert exact.sent[0] == list(range(10))
    assert tight.sent[0] == list(range(9))
    assert exact.kept == tight.kept == lines


async def test_a_record_over_the_limit_is_sent_alone() -> None:
    sink = SplittingSink(RequestLimits(1000, 50))
    await sink.send(batch_of(3))
    assert sink.sent == [[0], [1], [2]]


async def test_what_is_stored_is_not_sent_again_when_the_batch_is_repeated() -> None:
    failures = iter([None, RetryLater("unavailable"), None, None])

    def judge(request: RecordRequest) -> None:
        if (failure := next(failures)) is not None:
            raise failure

    sink = SplittingSink(RequestLimits(10, 1 << 30), judge)
    assert await delivery(sink).send(batch_of(30)) == ()
    assert [indexes[0] for indexes in sink.sent] == [0, 10, 10, 20]
    assert sink.kept == lines_of(30)


async def test_a_limiter_that_lets_only_small_requests_through_does_not_stop_a_sink() -> None:
    """Loki's limiter never lets a request through that is larger than the burst it allows."""

    def judge(request: RecordRequest) -> None:
        if request.size_bytes > 500:
            raise RetryLater("throttled")

    sink = SplittingSink(RequestLimits(1000, 1 << 16), judge)
    assert await delivery(sink).send(batch_of(100)) == ()
    assert sink.kept == lines_of(100)


async def test_requests_become_as_large_again_after_they_were_throttled() -> None:
    throttles = iter([True, True, True])

    def judge(request: RecordRequest) -> None:
        if next(throttles, False):
            raise RetryLater("throttled")

    sink = SplittingSink(RequestLimits(1000, 1000), judge)
    assert await delivery(sink).send(batch_of(1000)) == ()
    assert max(map(len, sink.sent[3:9])) < len(sink.sent[0]) == len(sink.sent[-2])


async def test_what_is_stored_is_not_sent_again_when_the_batch_is_bisected() -> None:
    lines = lines_of(5000)

    def judge(request: RecordRequest) -> None:
        if lines[3210] in request.elements:
            raise Rejected("bad_request")

    sink = SplittingSink(RequestLimits(1000, 1 << 30), judge)
    rejected = await delivery(sink).send(batch_of(5000))
    assert [record.index for record in rejected] == [3210]
    assert sorted(sink.kept) == sorted(lines[:3210] + lines[3211:])
    assert len(sink.sent) <= 28


async def test_a_record_that_is_named_in_a_request_is_also_named_in_the_batch() -> None:
    def judge(request: RecordRequest) -> None:
        if 15 in request.indexes:
            raise Rejected("mapping", records=(list(request.indexes).index(15),))

    sink = SplittingSink(RequestLimits(10, 1 << 30), judge)
    rejected = await delivery(sink).send(batch_of(30))
    assert [record.index for record in rejected] == [15]
    assert sorted(sink.kept) == sorted(
        line for index, line in enumerate(lines_of(30)) if index != 15
    )


async def test_the_only_record_of_a_rejected_request_is_named() -> None:
    def judge(request: RecordRequest) -> None:
        raise Rejected("too_large", "status 413")

    with pytest.raises(Rejected) as caught:
        await SplittingSink(RequestLimits(1, 1 << 30), judge).send(batch_of(3))
    assert caught.value.records == (0,)


async def test_another_batch_is_sent_whole() -> None:
    sink = SplittingSink(RequestLimits(10, 1 << 30))
    for batch_id in ("b1", "b2", "b1"):
        await sink.send(batch_of(10, batch_id=batch_id))
    assert len(sink.sent) == 3


async def test_a_part_is_known_by_its_position_in_the_batch_and_a_request_has_no_gap() -> None:
    whole = batch_of(30)
    sink = SplittingSink(RequestLimits(10, 1 << 30))
    await sink.send(part(whole, (), 5, 14))
    await sink.send(whole)
    assert sink.sent == [list(range(10)), list(range(5)), list(range(15, 25)), list(range(25, 30))]


def test_sinks_over_http_import_no_heavy_client() -> None:
    modules = ", ".join(
        f"tracesidecar.sinks.{name}.sink" for name in ("splunk", "loki", "otlp", "datadog")
    )
    heavy = {"boto3", "google.protobuf", "opentelemetry", "pyarrow", "duckdb", "hyperscan"}
    code = f"import sys, {modules}; print({heavy!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.stdout == "set()\n"
