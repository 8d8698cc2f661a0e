"""The RELP sink: syslog messages of which the server acknowledges each, as rsyslog and Logstash
take them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from tracesidecar.errors import RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.syslog.message import MAX_MESSAGE, MessageOptions, Messages
from tracesidecar.sinks.syslog.relp_frames import ProtocolError
from tracesidecar.sinks.syslog.relp_session import Refused, Session
from tracesidecar.sinks.transport.tcp import Dialer
from tracesidecar.sinks.transport.tls import TlsOptions


class Options(MessageOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `relp`; without `tls` in the clear.

    `timeout` is for the next answer of the server, not for a whole batch.
    """

    port: int
    tls: TlsOptions | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.port < 65536:
            raise ValueError("port is not between 1 and 65535")


def build(options: Options) -> RelpSink:
    """Make the sink; it connects on entry."""
    return RelpSink(options)


def destination(options: Options) -> str:
    """Name the address."""
    return f"relp:{options.host}:{options.port}"


def record_limit(options: Options) -> int:
    """What `max_message` leaves for the record."""
    return _messages(options).record_limit_bytes


class RelpSink:
    """Delivers at least once: what was sent and not answered is sent again."""

    def __init__(self, options: Options) -> None:
        self._messages = _messages(options)
        self._dialer = Dialer(
            options.host, options.port, options.tls, timeout_seconds=options.connect_timeout
        )
        self._timeout = options.timeout
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        self._dialer.warn()
        self._session = await self._opened()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, batch: Batch) -> None:
        """Send all messages in order, and await the answer to each."""
        messages, too_long = await asyncio.to_thread(self._messages.fitting, batch.records)
        session = await self._opened()
        self._session = None
        with self._abandoning_on_failure(session):
            await session.deliver(messages)
        self._session = session
        self._messages.refuse(too_long)

    async def _opened(self) -> Session:
        """The session of before, if the server has not closed it; else a new one."""
        if self._session is not None:
            if await self._session.is_open():
                return self._session
            self._session.abandon()
            self._session = None
        session = Session(await self._dialer.connect(), timeout_seconds=self._timeout)
        with self._abandoning_on_failure(session):
            await session.open()
        return session

    @contextmanager
    def _abandoning_on_failure(self, session: Session) -> Iterator[None]:
        where = self._dialer.where
        try:
            with ExitStack() as on_failure:
                on_failure.callback(session.abandon)
                yield
                on_failure.pop_all()
        except OSError as error:
            raise self._dialer.failure(error) from error
        except ProtocolError as error:
            raise RetryLater(
                "protocol",
                f"what answers at {where} does not speak RELP; check host and port, and whether it wants tls",
            ) from error
        except Refused as error:
            raise RetryLater(
                "refused",
                f"{where} answered that it could not take a message; look there for the reason",
            ) from error


def _messages(options: Options) -> Messages:
    return Messages(options, options.max_message or MAX_MESSAGE)


SINK_TYPE = SinkType(
    name="relp",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="at least once",
    record_limit_of=record_limit,
)
