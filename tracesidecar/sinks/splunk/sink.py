"""The Splunk sink: events to the HTTP Event Collector, with indexer acknowledgement where the token
has it.
"""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from typing import Literal

import msgspec

from tracesidecar.encode.instants import epoch_microseconds
from tracesidecar.encode.jsonl import encode_lines
from tracesidecar.encode.lake_layout import RecordFormat
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch, Compression, Record
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.splunk.responses import (
    ANSWER_BYTES,
    NO_DATA,
    Said,
    ack_id,
    judge,
    judge_question,
    read,
    told,
)
from tracesidecar.sinks.transport.http_auth import Bearer
from tracesidecar.sinks.transport.http_client import Answer
from tracesidecar.sinks.transport.http_endpoint import (
    Endpoint,
    EndpointOptions,
    content_headers,
    without_query,
)
from tracesidecar.sinks.transport.record_sink import PostingSink
from tracesidecar.sinks.transport.request_splitter import (
    Limits,
    Request,
    Requests,
    identification,
    record_batches,
)
from tracesidecar.units import Seconds, Secret

REQUEST_LIMITS = Limits(records=10_000, size_bytes=2 << 20)
"""A request may have far more (800 MB), but its whole body is held by the indexer's front and sent
again after a fault.
"""

RECORD_LIMIT_BYTES = 1_000_000
"""An event may have 1 MiB; the rest is for what stands around the record."""

JSON_FORMATS = frozenset({"event", "ecs", "ocsf", "otlp"})


class Options(EndpointOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `splunk`. `url` is the collector's, without the path of its endpoints.

    `acknowledge` waits until the events are indexed, which the token must allow; they are sent
    again when that is not told within `ack_timeout`. `fields` are indexed fields of every event.
    Without `source` an event's source is the file it was read from.
    """

    token: Secret | None = None
    token_file: str | None = None
    index: str = ""
    source: str = ""
    sourcetype: str = "tracesidecar"
    host: str = ""
    fields: dict[str, str] = msgspec.field(default_factory=dict)
    acknowledge: bool = False
    ack_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("2m"))
    ack_interval: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("1s"))
    format: RecordFormat = "event"
    compression: Literal["gzip", "none"] = "gzip"
    batch: BatchLimits = msgspec.field(default_factory=record_batches)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auth is not None:
            raise ValueError("auth is not for Splunk: give token or token_file")
        if (self.token is None) == (self.token_file is None):
            raise ValueError("token or token_file: exactly one of them is needed")


def build(options: Options) -> SplunkSink:
    """Make the sink; the session is opened on entry."""
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


class SplunkSink(PostingSink):
    """Delivers at least once: to the indexers with acknowledgement, to the collector in front of
    them without. The event has its id.
    """

    def __init__(self, options: Options) -> None:
        endpoint = Endpoint(
            options,
            auth=Bearer(token=options.token, token_file=options.token_file, scheme="Splunk"),
        )
        super().__init__(endpoint, Requests(REQUEST_LIMITS, self._encode))
        self._options = options
        self._host = options.host or socket.gethostname()
        self._events = endpoint.url / "services/collector/event"
        self._acks = endpoint.url / "services/collector/ack"
        self._channel = {"X-Splunk-Request-Channel": str(uuid.uuid4())}

    async def send(self, batch: Batch) -> None:
        """Post what is not stored of it yet, and await its acknowledgement if that is wanted."""
        if self._options.acknowledge:
            await self._send_acknowledged(batch)
        else:
            await super().send(batch)

    async def _send_acknowledged(self, batch: Batch) -> None:
        waiting: dict[int, Request] = {}
        rejection: Rejected | None = None
        async for request in self._requests.of(batch):
            try:
                said = await self._submit(request)
            except Rejected as error:
                rejection = request.rejection(error)
                break
            waiting[ack_id(said, self._endpoint.where)] = request
        await self._settle(batch, waiting)
        if rejection is not None:
            raise rejection

    async def _settle(self, batch: Batch, waiting: dict[int, Request]) -> None:
        """Ask until everything is acknowledged.

        An id is told once: what is told is remembered at once, and not asked again.
        """
        deadline = time.monotonic() + self._options.ack_timeout
        trouble: RetryLater | None = None
        while waiting:
            try:
                for acknowledged in told(await self._ask(list(waiting)), self._endpoint.where):
                    if acknowledged in waiting:
                        self._requests.remember(batch, waiting.pop(acknowledged))
            except (
                RetryLater
            ) as error:  # it may answer next time, and then nothing has to be sent twice
                trouble = error
            if waiting and time.monotonic() >= deadline:
                detail = f"{self._endpoint.where} did not acknowledge {len(waiting)} requests within {self._options.ack_timeout:g} s; they are sent again"
                raise RetryLater("unacknowledged", detail) from trouble
            if waiting:
                await asyncio.sleep(self._options.ack_interval)

    async def _prove(self) -> None:
        """Post nothing: a token that may write is told that there is no data."""
        answer = await self._request(b"", "none")
        if read(answer).code != NO_DATA:
            judge_question(answer, self._endpoint.where)
        if self._options.acknowledge:
            told(await self._ask([0]), self._endpoint.where)

    async def _post(self, request: Request) -> None:
        await self._submit(request)

    async def _submit(self, request: Request) -> Said:
        content = await asyncio.to_thread(
            encode_lines, b"\n".join(request.elements), self._options.compression
        )
        answer = await self._request(content, self._options.compression)
        return judge(answer, len(request.records), self._endpoint.where)

    async def _request(self, content: bytes, compression: Compression) -> Answer:
        headers = self._channel | content_headers("application/json", compression)
        return await self._endpoint.request(
            "POST", headers, content, url=self._events, answer_bytes=ANSWER_BYTES
        )

    async def _ask(self, ack_ids: list[int]) -> Answer:
        headers = self._channel | content_headers("application/json", "none")
        return await self._endpoint.request(
            "POST",
            headers,
            msgspec.json.encode({"acks": ack_ids}),
            url=self._acks,
            answer_bytes=ANSWER_BYTES,
        )

    def _encode(self, record: Record) -> bytes:
        options = self._options
        return msgspec.json.encode(
            _Event(
                time=epoch_microseconds(record.time) / 1_000_000,
                host=self._host,
                source=options.source or record.source,
                sourcetype=options.sourcetype,
                fields={**options.fields, **self._ids(record)},
                # what is not ours to parse goes as text, and so stays as it is
                event=msgspec.Raw(record.body)
                if options.format in JSON_FORMATS
                else record.body.decode(),
                index=options.index,
            )
        )

    def _ids(self, record: Record) -> dict[str, str]:
        """Indexed fields.

        Not those that the event has by the same name: searches would find them twice in it, and
        count it twice.
        """
        return (
            {}
            if self._options.format == "event"
            else {"dialect": record.dialect, **identification(record)}
        )


SINK_TYPE = SinkType(
    name="splunk",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="at least once",
    record_limit_bytes=RECORD_LIMIT_BYTES,
)
