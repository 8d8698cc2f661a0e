"""The Splunk sink.

It posts events to the HTTP Event Collector, with indexer acknowledgement if the token has it.
"""

from __future__ import annotations

import asyncio
import socket
import time
import uuid

import msgspec

from tracesidecar.encode import encode_lines, epoch_microseconds
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch, Compression, Record
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.splunk.options import Options
from tracesidecar.sinks.splunk.responses import (
    BODY_LIMIT_BYTES,
    NO_DATA,
    HecResponse,
    parse_accepted,
    parse_ack_status,
    parse_response,
    raise_for_query,
)
from tracesidecar.sinks.transport import (
    Bearer,
    HttpResponse,
    RecordRequest,
    RequestLimits,
    RequestSplitter,
    identification,
)
from tracesidecar.sinks.transport.http_endpoint import Endpoint, content_headers, without_query
from tracesidecar.sinks.transport.record_sink import RecordSink

REQUEST_LIMITS = RequestLimits(records=10_000, size_bytes=2 << 20)
"""The collector accepts far more (800 MB), but holds a whole request in memory, and a request that
fails is sent again.
"""

RECORD_LIMIT_BYTES = 1_000_000
"""The collector accepts 1 MiB for an event; the rest is for the metadata around the record."""

JSON_FORMATS = frozenset({"event", "ecs", "ocsf", "otlp"})


def build(options: Options) -> SplunkSink:
    """Make the sink; it opens its connections on entry."""
    return SplunkSink(options)


def destination(options: Options) -> str:
    """Name the collector and the index."""
    return f"splunk:{without_query(options.url)}#{options.index}"


class _Event(msgspec.Struct, omit_defaults=True):
    time: float
    host: str
    source: str
    sourcetype: str
    fields: dict[str, str]
    event: msgspec.Raw | str
    index: str = ""


class SplunkSink(RecordSink):
    """Delivers at least once; a repeat has the same `event_id`.

    With acknowledgement the events are indexed when `send` returns. Without it the collector has
    accepted them, and a crash before they are indexed may lose them.
    """

    def __init__(self, options: Options) -> None:
        endpoint = Endpoint(
            options,
            auth=Bearer(token=options.token, token_file=options.token_file, scheme="Splunk"),
        )
        super().__init__(endpoint, RequestSplitter(REQUEST_LIMITS, self._encode))
        self._options = options
        self._host = options.host or socket.gethostname()
        self._event_url = endpoint.url / "services/collector/event"
        self._ack_url = endpoint.url / "services/collector/ack"
        self._channel = {"X-Splunk-Request-Channel": str(uuid.uuid4())}

    async def send(self, batch: Batch) -> None:
        """Post the records that are not stored yet; await their acknowledgement if configured."""
        if self._options.acknowledge:
            await self._send_acknowledged(batch)
        else:
            await super().send(batch)

    async def _send_acknowledged(self, batch: Batch) -> None:
        waiting: dict[int, RecordRequest] = {}
        rejection: Rejected | None = None
        async for request in self._splitter.split(batch):
            try:
                accepted = await self._post_events(request)
            except Rejected as error:
                rejection = request.rejection_in_batch(error)
                break
            waiting[accepted.require_ack_id(self._endpoint.where)] = request
        await self._wait_for_acks(batch, waiting)
        if rejection is not None:
            raise rejection

    async def _wait_for_acks(self, batch: Batch, waiting: dict[int, RecordRequest]) -> None:
        """Ask until every request is acknowledged.

        Splunk reports an ack id as indexed once and then forgets it, so each is remembered at once
        and not asked for again.
        """
        deadline = time.monotonic() + self._options.ack_timeout
        last_error: RetryLater | None = None
        while waiting:
            try:
                response = await self._query_acks(list(waiting))
                for ack_id in await asyncio.to_thread(
                    parse_ack_status, response, self._endpoint.where
                ):
                    if ack_id in waiting:
                        self._splitter.mark_stored(batch, waiting.pop(ack_id))
            except RetryLater as error:
                # The next query may succeed, and then nothing has to be sent twice.
                last_error = error
            if waiting and time.monotonic() >= deadline:
                raise RetryLater(
                    "unacknowledged",
                    f"{self._endpoint.where} did not acknowledge {len(waiting)} requests within "
                    f"{self._options.ack_timeout:g} s; they are sent again",
                ) from last_error
            if waiting:
                await asyncio.sleep(self._options.ack_interval)

    async def _probe(self) -> None:
        """Post no data: the collector answers code 5 ("No data") if the token may write."""
        response = await self._request(b"", "none")
        where = self._endpoint.where
        if parse_response(response).code != NO_DATA:
            await asyncio.to_thread(raise_for_query, response, where)
        if self._options.acknowledge:
            await asyncio.to_thread(parse_ack_status, await self._query_acks([0]), where)

    async def _post(self, request: RecordRequest) -> None:
        await self._post_events(request)

    async def _post_events(self, request: RecordRequest) -> HecResponse:
        content = await asyncio.to_thread(
            encode_lines, b"\n".join(request.elements), self._options.compression
        )
        response = await self._request(content, self._options.compression)
        return await asyncio.to_thread(
            parse_accepted, response, len(request.records), self._endpoint.where
        )

    async def _request(self, content: bytes, compression: Compression) -> HttpResponse:
        headers = self._channel | content_headers("application/json", compression)
        return await self._endpoint.request(
            "POST", headers, content, url=self._event_url, body_limit_bytes=BODY_LIMIT_BYTES
        )

    async def _query_acks(self, ack_ids: list[int]) -> HttpResponse:
        headers = self._channel | content_headers("application/json", "none")
        return await self._endpoint.request(
            "POST",
            headers,
            msgspec.json.encode({"acks": ack_ids}),
            url=self._ack_url,
            body_limit_bytes=BODY_LIMIT_BYTES,
        )

    def _encode(self, record: Record) -> bytes:
        options = self._options
        return msgspec.json.encode(
            _Event(
                time=epoch_microseconds(record.time) / 1_000_000,
                host=self._host,
                source=options.source or record.source,
                sourcetype=options.sourcetype,
                fields={**options.fields, **self._build_indexed_fields(record)},
                # Formats that are not our JSON are sent as text, so that they stay as they are.
                event=msgspec.Raw(record.body)
                if options.format in JSON_FORMATS
                else record.body.decode(),
                index=options.index,
            )
        )

    def _build_indexed_fields(self, record: Record) -> dict[str, str]:
        """Return the record's own indexed fields.

        The format `event` has fields of the same names: a search would find each value twice, and
        count it twice.
        """
        if self._options.format == "event":
            return {}
        return {"dialect": record.dialect, **identification(record)}


SINK_TYPE = SinkType(
    name="splunk",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="at least once",
    record_limit_bytes=RECORD_LIMIT_BYTES,
)
