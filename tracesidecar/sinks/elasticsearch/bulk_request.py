"""Bulk requests: for each record, the action that creates it under its id, and its document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from tracesidecar.model import Record

ElasticsearchFormat = Literal["ecs", "event", "ocsf", "raw"]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class IndexName:
    """The name of an index or a data stream, with `{dt}` and `{dialect}` as placeholders."""

    template: str

    def resolve(self, dt: str, dialect: str) -> str:
        """Return the name for events of a date and a dialect."""
        return self.template.replace("{dt}", dt).replace("{dialect}", dialect)


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """The body of one bulk request, and how many records it holds."""

    body: bytes
    count: int


@dataclass(frozen=True, slots=True)
class BulkRequestBuilder:
    """Makes bulk requests of records.

    Every document has a `@timestamp`: data streams require it, and Kibana and OpenSearch
    Dashboards order by it.
    """

    form: ElasticsearchFormat
    index: IndexName

    def build(
        self, records: Sequence[Record], waiting: Sequence[int], limit_bytes: int
    ) -> BulkRequest:
        """Return a request with the first of the waiting records.

        It holds as many as the limit allows, and at least one.
        """
        entries: list[bytes] = []
        size_bytes = 0
        for index in waiting:
            entry = self._create(records[index])
            if entries and size_bytes + len(entry) > limit_bytes:
                break
            entries.append(entry)
            size_bytes += len(entry)
        return BulkRequest(b"".join(entries), len(entries))

    def _create(self, record: Record) -> bytes:
        index = self.index.resolve(record.time[:10], record.dialect)
        return b"%s\n%s\n" % (
            _encode({"create": {"_index": index, "_id": record.id}}),
            self._document(record),
        )

    def _document(self, record: Record) -> bytes:
        if self.form == "ecs":
            return record.body
        if self.form == "raw":
            return _encode(_raw_document(record))
        return b'{"@timestamp":%s,%s' % (_encode(record.time), record.body[1:])


def _raw_document(record: Record) -> dict[str, object]:
    """Return a document that holds the line as text.

    Parsed lines would conflict: two dialects give one key two types, and the index rejects the
    second.
    """
    return {
        "@timestamp": record.time,
        "event": {
            "id": record.id,
            "action": record.kind,
            "module": "tracesidecar",
            "dataset": f"tracesidecar.{record.dialect}",
            "original": record.body.decode(),
            "hash": record.line_sha256,
        },
        "log": {"file": {"path": record.source}},
        "tracesidecar": {"conversation_id": record.conversation},
        # below `labels` a strict mapping takes new keys, also in an index that is there already
        "labels": {"processed_by": record.processed_by},
    }
