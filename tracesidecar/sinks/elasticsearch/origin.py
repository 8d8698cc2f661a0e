"""Where a document of each format has its event's id, and of which line it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from tracesidecar.dialects import LineOrigin, derive_id
from tracesidecar.model import Record
from tracesidecar.sinks.elasticsearch.bulk_request import ElasticsearchFormat

RawObject = dict[str, msgspec.Raw]


class OriginFields(NamedTuple):
    """The names of fields, with dots."""

    event_id: str
    line_sha256: str
    processed_by: str


ORIGIN_FIELDS: Mapping[ElasticsearchFormat, OriginFields] = {
    "ecs": OriginFields("event.id", "event.hash", "tracesidecar.processed_by"),
    "event": OriginFields("event_id", "line_sha256", "processed_by"),
    "ocsf": OriginFields("metadata.uid", "raw_data_hash.value", "unmapped.processed_by"),
    "raw": OriginFields("event.id", "event.hash", "labels.processed_by"),
}


def read_origin(source: RawObject, form: ElasticsearchFormat) -> LineOrigin:
    """Return the line that a document is of; of one that we did not make nothing is known."""
    fields = ORIGIN_FIELDS[form]
    try:
        return LineOrigin(*(_read(source, name.split(".")) for name in fields[1:]))
    except msgspec.ValidationError:
        return LineOrigin(None, None)


def derive_record(record: Record, form: ElasticsearchFormat) -> Record:
    """Return the record under its derived id, which is also in its document."""
    id_ = derive_id(record.id, record.line_sha256)
    if form == "raw":
        return record._replace(id=id_)  # the document is made of the record
    path = ORIGIN_FIELDS[form].event_id.split(".")
    return record._replace(id=id_, body=_replace(record.body, path, id_))


def _read(source: RawObject, path: list[str]) -> str | None:
    *parents, leaf = path
    for name in parents:
        if name not in source:
            return None
        source = msgspec.json.decode(source[name], type=RawObject)
    return msgspec.json.decode(source[leaf], type=str) if leaf in source else None


def _replace(body: bytes | msgspec.Raw, path: list[str], value: str) -> bytes:
    """Return a JSON object with another value at a path; the rest stays as it is written."""
    first, *rest = path
    members = msgspec.json.decode(body, type=RawObject)
    made = _replace(members[first], rest, value) if rest else msgspec.json.encode(value)
    members[first] = msgspec.Raw(made)
    return msgspec.json.encode(members)
