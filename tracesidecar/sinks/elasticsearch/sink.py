"""The Elasticsearch sink, for OpenSearch too: bulk requests that create each document under its
event's id.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Literal, Self

import msgspec

from tracesidecar.encode.jsonl import encode_lines
from tracesidecar.errors import Rejected
from tracesidecar.model import Batch
from tracesidecar.sinks.elasticsearch.bulk_request import Documents, Target
from tracesidecar.sinks.elasticsearch.bulk_response import Progress, verdicts
from tracesidecar.sinks.elasticsearch.preflight import check_access, check_template
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.sink import Promise, SinkType
from tracesidecar.sinks.transport.http_endpoint import Endpoint, EndpointOptions, without_query
from tracesidecar.sinks.transport.http_responses import judge
from tracesidecar.sinks.transport.request_splitter import record_batches
from tracesidecar.units import Size

RECORD_LIMIT_BYTES = 5_000_000
"""Half of a request of 10 MiB, because a raw line may double when it is written as text."""

_NAME = re.compile(r"(?:[a-z0-9]|\{dt\}|\{dialect\})(?:[a-z0-9._-]|\{dt\}|\{dialect\})*")
_QUERY = {"filter_path": "items.*.status,items.*.error.type,items.*.error.reason"}
_ANSWER_BYTES = 1 << 20
_ANSWER_BYTES_PER_RECORD = 4 << 10


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `elasticsearch`.

    `index` or `data_stream` is a name in which `{dt}` stands for the event's UTC date and
    `{dialect}` for its dialect; by default it is the index `tracesidecar-<format>-{dt}`.
    `request_limit` is before compression, as the server counts it. `check_template`: without an
    index template for that name nothing is sent, because the server would guess the types of
    fields.
    """

    format: Literal["ecs", "event", "ocsf", "raw"] = "ecs"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)
    index: str = ""
    data_stream: str = ""
    request_limit: Size = msgspec.field(default_factory=lambda: Size.parse("10MiB"))
    check_template: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.index and self.data_stream:
            raise ValueError("index and data_stream are both given; documents go to one of them")
        if not _NAME.fullmatch(self.target.name):
            raise ValueError(
                "index and data_stream take lower-case letters, digits, . _ - and the places {dt} and {dialect}"
            )

    @property
    def target(self) -> Target:
        """Where documents go."""
        return Target(self.data_stream or self.index or f"tracesidecar-{self.format}-{{dt}}")


def build(options: Options) -> ElasticsearchSink:
    """Make the sink; the session is opened on entry."""
    return ElasticsearchSink(options)


def destination(options: Options) -> str:
    """Name the address without its query, and the index."""
    return f"elasticsearch:{without_query(options.url)} {options.target.name}"


def promise(options: Options) -> Promise:
    """A data stream knows an id only until its rollover."""
    return "at least once" if options.data_stream else "exactly once"


class ElasticsearchSink:
    """Delivers each document once: a repeat is told by its id.

    What one attempt has settled, the next does not send again.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._endpoint = Endpoint(options)
        self._bulk = (self._endpoint.url / "_bulk").update_query(_QUERY)
        self._documents = Documents(options.format, options.target)
        self._limit_bytes = int(options.request_limit)
        self._progress = Progress("", 0)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._endpoint)
            await check_access(self._endpoint, self._options.target)
            if self._options.check_template:
                await check_template(self._endpoint, self._options.target)
            stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._endpoint.__aexit__(kind, error, trace)

    async def send(self, batch: Batch) -> None:
        """Make as many bulk requests as its size asks for, one after another."""
        if self._progress.batch_id != batch.id:
            self._progress = Progress(batch.id, len(batch.records))
        progress = self._progress
        while progress.waiting:
            await self._send_some(batch, progress)
        self._progress = Progress("", 0)
        if progress.refused:
            reason, *others = sorted(set(progress.refused.values()))
            said = f"{self._endpoint.where} refused {len(progress.refused)} documents ({', '.join((reason, *others))}); the others are stored"
            raise Rejected(reason, said, records=tuple(sorted(progress.refused)), stored=True)

    async def _send_some(self, batch: Batch, progress: Progress) -> None:
        request = await asyncio.to_thread(
            self._documents.request, batch.records, progress.waiting, self._limit_bytes
        )
        content = await asyncio.to_thread(encode_lines, request.body, self._options.compression)
        headers = {"Content-Type": "application/x-ndjson"} | (
            {"Content-Encoding": "gzip"} if self._options.compression == "gzip" else {}
        )
        answer_bytes = _ANSWER_BYTES + _ANSWER_BYTES_PER_RECORD * request.count
        answer = await self._endpoint.request(
            "POST", headers, content, url=self._bulk, answer_bytes=answer_bytes
        )
        if answer.status == 413 and request.count > 1:
            self._limit_bytes = len(request.body) // 2
        elif answer.status == 413:
            progress.refuse_first("too_large")
        else:
            judge(answer.status, answer.retry_after, self._endpoint.where)
            progress.settle(verdicts(answer.body, request.count, self._endpoint.where))


SINK_TYPE = SinkType(
    name="elasticsearch",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="exactly once",
    promise_of=promise,
    record_limit_bytes=RECORD_LIMIT_BYTES,
)
