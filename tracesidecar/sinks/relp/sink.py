"""The RELP sink: syslog messages that the server acknowledges one by one (rsyslog, Logstash)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from tracesidecar.errors import RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.relp.client import RelpRejection, RelpSession
from tracesidecar.sinks.relp.frames import RelpProtocolError
from tracesidecar.sinks.relp.options import Options
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.transport import DEFAULT_MESSAGE_LIMIT, Dialer, SyslogFormatter


def build(options: Options) -> RelpSink:
    """Make the sink; it connects on entry."""
    return RelpSink(options)


def destination(options: Options) -> str:
    """Name the server's address."""
    return f"relp:{options.host}:{options.port}"


def record_limit(options: Options) -> int:
    """Return what `max_message` leaves for a record."""
    return _formatter(options).record_limit_bytes


class RelpSink:
    """Delivers at least once: a message that was not acknowledged is sent again.

    The session is kept from batch to batch. A batch that fails ends it, and starts again from its
    first message in a new session.
    """

    def __init__(self, options: Options) -> None:
        self._formatter = _formatter(options)
        self._dialer = Dialer(
            options.host, options.port, options.tls, timeout_seconds=options.connect_timeout
        )
        self._timeout = options.timeout
        self._session: RelpSession | None = None

    async def __aenter__(self) -> Self:
        self._dialer.warn_if_unverified()
        self._session = await self._open_session()
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
        """Send all messages in order, and wait until the server has acknowledged each of them."""
        messages, too_long = await asyncio.to_thread(self._formatter.format_batch, batch.records)
        session = await self._open_session()
        self._session = None
        with self._abandon_on_failure(session):
            await session.deliver(messages)
        self._session = session
        self._formatter.raise_for_too_long(too_long)

    async def _open_session(self) -> RelpSession:
        """Return the session of the last batch if the server has kept it, otherwise a new one."""
        if self._session is not None:
            if await self._session.is_open():
                return self._session
            self._session.abandon()
            self._session = None
        session = RelpSession(await self._dialer.connect(), timeout_seconds=self._timeout)
        with self._abandon_on_failure(session):
            await session.open()
        return session

    @contextmanager
    def _abandon_on_failure(self, session: RelpSession) -> Iterator[None]:
        where = self._dialer.where
        try:
            with ExitStack() as on_failure:
                on_failure.callback(session.abandon)
                yield
                on_failure.pop_all()
        except OSError as error:
            raise self._dialer.explain(error) from error
        except RelpProtocolError as error:
            raise RetryLater(
                "protocol",
                f"the server at {where} does not speak RELP; "
                "check host and port, and whether it expects tls",
            ) from error
        except RelpRejection as error:
            raise RetryLater(
                "refused",
                f"{where} answered a RELP command with an error; see its log for the reason",
            ) from error


def _formatter(options: Options) -> SyslogFormatter:
    return SyslogFormatter(options, options.max_message or DEFAULT_MESSAGE_LIMIT)


SINK_TYPE = SinkType(
    name="relp",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="at least once",
    record_limit_of=record_limit,
    takes_text=True,
)
