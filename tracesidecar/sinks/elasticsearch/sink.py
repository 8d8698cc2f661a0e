"""The Elasticsearch sink, also for OpenSearch.

It makes bulk requests, which create each document under its event's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from tracesidecar.encode import encode_lines
from tracesidecar.errors import Rejected
from tracesidecar.model import Batch
from tracesidecar.sinks.elasticsearch.bulk_request import BulkRequestBuilder
from tracesidecar.sinks.elasticsearch.bulk_response import parse_bulk_response
from tracesidecar.sinks.elasticsearch.options import Options
from tracesidecar.sinks.elasticsearch.preflight import check_access, check_template
from tracesidecar.sinks.elasticsearch.progress import BatchProgress
from tracesidecar.sinks.elasticsearch.stored_documents import find_documents
from tracesidecar.sinks.sink import Promise, Receipt, SinkType
from tracesidecar.sinks.transport import raise_for_page
from tracesidecar.sinks.transport.http_endpoint import Endpoint, content_headers, without_query

RECORD_LIMIT_BYTES = 5_000_000
"""Half of a request of 10 MiB, because a raw line may double when it is written as text."""

_QUERY = {"filter_path": "items.*.status,items.*.error.type,items.*.error.reason"}
_BODY_LIMIT_BYTES = 1 << 20
_BODY_LIMIT_BYTES_PER_RECORD = 4 << 10


def build(options: Options) -> ElasticsearchSink:
    """Make the sink; it opens its connections on entry."""
    return ElasticsearchSink(options)


def destination(options: Options) -> str:
    """Name the address without its query, and the index."""
    return f"elasticsearch:{without_query(options.url)} {options.index_name.template}"


def promise(options: Options) -> Promise:
    """Return the promise: a data stream knows ids only within its current backing index."""
    return "at least once" if options.data_stream else "exactly once"


class ElasticsearchSink:
    """Delivers each document once: a repeat has the same id, and the server answers 409 to it.

    If an attempt fails, the next one sends only the records that were neither stored nor rejected.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._endpoint = Endpoint(options)
        self._bulk_url = (self._endpoint.url / "_bulk").update_query(_QUERY)
        self._headers = content_headers("application/x-ndjson", options.compression)
        self._builder = BulkRequestBuilder(options.format, options.index_name)
        self._limit_bytes = int(options.request_limit)
        self._progress = BatchProgress("", 0)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._endpoint)
            await check_access(self._endpoint, self._options.index_name)
            if self._options.check_template:
                await check_template(self._endpoint, self._options.index_name)
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
        """Send the batch in as many bulk requests as its size needs, one after another."""
        if self._progress.batch_id != batch.id:
            self._progress = BatchProgress(batch.id, len(batch.records))
        progress = self._progress
        while progress.waiting:
            await self._send_request(batch, progress)
        self._progress = BatchProgress("", 0)
        if progress.rejected:
            reasons = sorted(set(progress.rejected.values()))
            raise Rejected(
                reasons[0],
                f"{self._endpoint.where} rejected {len(progress.rejected)} documents "
                f"({', '.join(reasons)}); the others are stored",
                records=tuple(sorted(progress.rejected)),
                stored=True,
            )

    async def find_stored(self, _batch_id: str, ids: Sequence[str], /) -> Receipt:
        """Search for the documents, after a refresh."""
        found = await find_documents(
            self._endpoint, self._options.index_name, list(dict.fromkeys(ids))
        )
        return Receipt(frozenset(index for index, each in enumerate(ids) if each in found))

    async def _send_request(self, batch: Batch, progress: BatchProgress) -> None:
        request = await asyncio.to_thread(
            self._builder.build, batch.records, progress.waiting, self._limit_bytes
        )
        content = await asyncio.to_thread(encode_lines, request.body, self._options.compression)
        response = await self._endpoint.request(
            "POST",
            self._headers,
            content,
            url=self._bulk_url,
            body_limit_bytes=_BODY_LIMIT_BYTES + _BODY_LIMIT_BYTES_PER_RECORD * request.count,
        )
        if response.status == 413:
            await asyncio.to_thread(raise_for_page, response, self._endpoint.where)
        # Elasticsearch accepts 100 MB (http.max_content_length), but nginx in front of it answers
        # 413 above 1 MB (client_max_body_size): send less from now on.
        if response.status == 413 and request.count > 1:
            self._limit_bytes = len(request.body) // 2
        elif response.status == 413:
            progress.reject_first("too_large")
        else:
            progress.record(
                await asyncio.to_thread(
                    parse_bulk_response, response, request.count, self._endpoint.where
                )
            )


SINK_TYPE = SinkType(
    name="elasticsearch",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="exactly once",
    promise_of=promise,
    record_limit_bytes=RECORD_LIMIT_BYTES,
    keeps_records=lambda _options: True,
)
