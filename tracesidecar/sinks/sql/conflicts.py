"""Which records of a batch were not inserted because another line has their event id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from tracesidecar.dialects import LineOrigin, derive_id
from tracesidecar.model import Record
from tracesidecar.sinks.sql.engine import SqlSyntax, Transaction, select_by_id


class Conflicts(NamedTuple):
    """Records under derived ids, none of which is stored yet."""

    records: tuple[Record, ...] = ()

    def count_by_path(self) -> Counter[str]:
        """Return how many there are, by the path of their file."""
        return Counter(record.source for record in self.records)


def find_conflicts(
    transaction: Transaction, syntax: SqlSyntax, records: Sequence[Record]
) -> Conflicts:
    """Compare records that were just inserted, as far as their ids were free, with what is stored.

    A record whose derived id is there is a repeat, unless a third line has that, too.
    """
    found: list[Record] = []
    waiting = records
    while waiting:
        origins = _find_origins(transaction, syntax, waiting)
        found += [record for record in waiting if record.id not in origins]
        waiting = _derive(record for record in waiting if _is_taken(record, origins))
    return Conflicts(tuple(found))


def _is_taken(record: Record, origins: dict[str, LineOrigin]) -> bool:
    stored = origins.get(record.id)
    return stored is not None and stored.contradicts(
        LineOrigin(record.line_sha256, record.processed_by)
    )


def _derive(records: Iterable[Record]) -> list[Record]:
    """Return the records under their derived ids, each once."""
    made: dict[str, Record] = {}
    for record in records:
        id_ = derive_id(record.id, record.line_sha256)
        if id_ not in made:
            columns = msgspec.json.decode(record.body, type=dict[str, msgspec.Raw])
            columns["event_id"] = msgspec.Raw(msgspec.json.encode(id_))
            made[id_] = record._replace(id=id_, body=msgspec.json.encode(columns))
    return list(made.values())


def _find_origins(
    transaction: Transaction, syntax: SqlSyntax, records: Iterable[Record]
) -> dict[str, LineOrigin]:
    ids = list(dict.fromkeys(record.id for record in records))
    rows = select_by_id(transaction, syntax, "event_id, line_sha256, processed_by", ids)
    return {
        str(id_): LineOrigin(*(None if each is None else str(each) for each in origin))
        for id_, *origin in rows
    }
