"""What stands in a bulk request: for each record the line that creates it under its id, and its
document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from tracesidecar.model import Record

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Target:
    """The name of an index or a data stream, with places for the event's date and dialect."""

    name: str

    def of(self, dt: str, dialect: str) -> str:
        """Name the one that an event goes to."""
        return self.name.replace("{dt}", dt).replace("{dialect}", dialect)


@dataclass(frozen=True, slots=True)
class Request:
    """The body of one bulk request, and how many records are in it."""

    body: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Documents:
    """Makes documents of records; every document has a `@timestamp`, which a data stream must have
    and viewers look for.
    """

    form: Literal["ecs", "event", "ocsf", "raw"]
    target: Target
    _actions: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def request(
        self, records: Sequence[Record], waiting: Sequence[int], limit_bytes: int
    ) -> Request:
        """Take from the first of the waiting records on as many as go within the limit, and at
        least one.
        """
        parts: list[bytes] = []
        size_bytes = 0
        for index in waiting:
            part = self._create(records[index])
            if parts and size_bytes + len(part) > limit_bytes:
                break
            parts.append(part)
            size_bytes += len(part)
        return Request(b"".join(parts), len(parts))

    def _create(self, record: Record) -> bytes:
        index = self.target.of(record.time[:10], record.dialect)
        return b"%s\n%s\n" % (
            _encode({"create": {"_index": index, "_id": record.id}}),
            self._document(record),
        )

    def _document(self, record: Record) -> bytes:
        if self.form == "ecs":
            return record.body
        if self.form == "raw":
            return _encode(_line(record))
        return b'{"@timestamp":%s,%s' % (_encode(record.time), record.body[1:])


def _line(record: Record) -> dict[str, object]:
    """A line as it stands is text here: two dialects may give one key two types."""
    return {
        "@timestamp": record.time,
        "event": {
            "id": record.id,
            "action": record.kind,
            "module": "tracesidecar",
            "dataset": f"tracesidecar.{record.dialect}",
            "original": record.body.decode(),
        },
        "log": {"file": {"path": record.source}},
        "tracesidecar": {"conversation_id": record.conversation},
    }
