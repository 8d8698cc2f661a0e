"""The Elasticsearch sink, also for OpenSearch.

It makes bulk requests, which create each document under its event's id.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

from tracesidecar.dialects import LineOrigin
from tracesidecar.encode import encode_lines
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.elasticsearch.bulk_request import BulkRequestBuilder
from tracesidecar.sinks.elasticsearch.options import Options
from tracesidecar.sinks.elasticsearch.origin import derive_record
from tracesidecar.sinks.elasticsearch.preflight import (
    check_access,
    check_template,
    warn_of_taken_ids,
)
from tracesidecar.sinks.elasticsearch.progress import BatchProgress, TakenId
from tracesidecar.sinks.elasticsearch.responses import parse_bulk_response
from tracesidecar.sinks.elasticsearch.stored_documents import (
    DocumentName,
    find_documents,
    read_origins,
)
from tracesidecar.sinks.sink import Promise, Receipt, SinkType
from tracesidecar.sinks.transport import raise_for_page
from tracesidecar.sinks.transport.http_endpoint import Endpoint, content_headers, without_query

RECORD_LIMIT_BYTES = 5_000_000
"""Half of a request of 10 MiB, because a raw line may double when it is written as text."""

_QUERY = {
    "filter_path": "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.index"
}
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

    It answers so, too, if the document with that id is of another line. Therefore all of these are
    read and compared, and a document of another line is created under a derived id.
    If an attempt fails, the next one sends only the records that were neither stored nor rejected.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._endpoint = Endpoint(options)
        self._bulk_url = (self._endpoint.url / "_bulk").update_query(_QUERY)
        self._headers = content_headers("application/x-ndjson", options.compression)
        self._builder = BulkRequestBuilder(options.format, options.index_name)
        self._limit_bytes = int(options.request_limit)
        self._progress = BatchProgress("", ())
        self._conflicts: Counter[str] = Counter()
        self._may_read = True

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._endpoint)
            self._may_read = await check_access(self._endpoint, self._options.index_name)
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
            self._begin(batch)
        progress = self._progress
        while progress.waiting:
            await self._send_request(progress)
        self._begin()
        if progress.rejected:
            reasons = sorted(set(progress.rejected.values()))
            raise Rejected(
                reasons[0],
                f"{self._endpoint.where} rejected {len(progress.rejected)} documents "
                f"({', '.join(reasons)}); the others are stored",
                records=tuple(sorted(progress.rejected)),
                stored=True,
            )

    def take_conflicts(self) -> Mapping[str, int]:
        """Return how many documents were created under a derived id since the last call."""
        taken = self._conflicts + self._progress.conflicts
        self._conflicts, self._progress.conflicts = Counter(), Counter()
        return taken

    def _begin(self, batch: Batch | None = None) -> None:
        self._conflicts += self._progress.conflicts
        self._progress = BatchProgress(batch.id if batch else "", batch.records if batch else ())

    async def find_stored(self, _batch_id: str, ids: Sequence[str], /) -> Receipt:
        """Search for the documents, after a refresh."""
        found = await find_documents(
            self._endpoint, self._options.index_name, list(dict.fromkeys(ids))
        )
        return Receipt(frozenset(index for index, each in enumerate(ids) if each in found))

    async def _send_request(self, progress: BatchProgress) -> None:
        request = await asyncio.to_thread(
            self._builder.build, progress.records, progress.waiting, self._limit_bytes
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
            ids = progress.next_ids(request.count)
            outcomes = await asyncio.to_thread(
                parse_bulk_response, response, ids, self._endpoint.where
            )
            if taken := progress.record(outcomes):
                await self._settle(taken, progress)

    async def _settle(self, taken: Sequence[TakenId], progress: BatchProgress) -> None:
        """Decide which documents with the ids of waiting records are of the same lines."""
        unknown = LineOrigin(None, None)
        origins = {each.record: unknown for each in taken}
        asked = {
            each.record: DocumentName(each.index_name, progress.records[each.record].id)
            for each in taken
            if each.index_name and progress.records[each.record].line_sha256
        }
        if self._may_read and asked:
            try:
                found = await read_origins(
                    self._endpoint, self._options.format, list(asked.values())
                )
                origins |= zip(asked, found, strict=True)
            except RetryLater as error:
                if error.reason != "denied":
                    raise
                self._may_read = False
                warn_of_taken_ids(self._endpoint)
        await asyncio.to_thread(
            progress.settle, origins, partial(derive_record, form=self._options.format)
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
