"""The SQL sink: events as rows of a database, each once, and a row for each turn of an agent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.sink import LAKE_ROW_BYTES, Receipt, SinkType
from tracesidecar.sinks.sql.engine import SqlDatabase
from tracesidecar.sinks.sql.options import Address, Options
from tracesidecar.sinks.transport import ClientThread, warn_if_unverified

__all__ = ["SINK_TYPE", "Options", "build"]

T = TypeVar("T")


def build(options: Options) -> SqlSink:
    """Make the sink; the database is opened on entry."""
    return SqlSink(options)


def destination(options: Options) -> str:
    """Name the database, and the schema where the engine has schemas."""
    address = Address.of(options.url)
    return f"sql:{address}/{options.schema}" if address.kind == "postgresql" else f"sql:{address}"


class SqlSink:
    """Delivers exactly once: a batch is one transaction, and the event id is the primary key.

    Of two lines with one id, the second one has a derived id.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._address = Address.of(options.url)
        self._database = _database(options, self._address)
        self._worker: ClientThread | None = None
        self._conflicts: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        warn_if_unverified(self._options.tls, str(self._address))
        self._worker = self._worker or ClientThread("sql")
        await self._run(self._database.open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._worker is not None:
            await self._worker.run(self._database.close)
            self._worker.stop()
            self._worker = None

    async def send(self, batch: Batch) -> None:
        """Run one transaction; reject the records that the engine cannot represent."""
        stored = await self._run(lambda: self._database.store(batch.records))
        self._conflicts.update(stored.conflicts)
        if stored.left_out:
            raise Rejected(
                "nul",
                f'{self._address} cannot store U+0000 in text; nul = "replace" replaces it',
                records=stored.left_out,
                stored=True,
            )

    def take_conflicts(self) -> Mapping[str, int]:
        """Return how many records were stored under a derived id since the last call."""
        taken, self._conflicts = self._conflicts, Counter()
        return taken

    async def find_stored(self, _batch_id: str, ids: Sequence[str], /) -> Receipt:
        """Look the events up by their primary key."""
        found = await self._run(lambda: self._database.find(list(dict.fromkeys(ids))))
        return Receipt(frozenset(index for index, each in enumerate(ids) if each in found))

    async def _run(self, step: Callable[[], T]) -> T:
        """Run a step in the thread.

        When it takes too long or the caller is cancelled, the step is aborted there; the next step
        starts only after it has ended, so that there is never a second writer.
        """
        if self._worker is None:
            raise RetryLater("closed", f"{self._address} was closed; it is opened again")
        try:
            async with asyncio.timeout(self._options.timeout):
                return await self._worker.run(step)
        except TimeoutError as error:
            self._database.abort()
            raise RetryLater(
                "timeout",
                f"{self._address} did not answer within {self._options.timeout:g} s; "
                "see what it waits for, or raise timeout",
            ) from error
        except asyncio.CancelledError:
            self._database.abort()
            raise


def _database(options: Options, address: Address) -> SqlDatabase:
    match address.kind:
        case "postgresql":
            from tracesidecar.sinks.sql.postgres import Postgres

            return Postgres(options, address)
        case "sqlite":
            from tracesidecar.sinks.sql.sqlite import Sqlite

            return Sqlite(address.path, options.timeout)
        case "duckdb":
            from tracesidecar.sinks.sql.duckdb import Duckdb

            return Duckdb(address.path)


SINK_TYPE = SinkType(
    name="sql",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="exactly once",
    record_limit_bytes=LAKE_ROW_BYTES,
    keeps_records=lambda _options: True,
    keeps_content=True,
    extra="sql",
)
