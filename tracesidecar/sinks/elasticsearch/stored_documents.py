"""The questions which documents an index has, by their ids, and of which lines they are.

A search finds what a refresh has made visible. It works for an index, an alias and a data stream;
a multi get, which needs no refresh, works for the first only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from tracesidecar.dialects import LineOrigin
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.elasticsearch.bulk_request import ElasticsearchFormat, IndexName
from tracesidecar.sinks.elasticsearch.origin import ORIGIN_FIELDS, RawObject, read_origin
from tracesidecar.sinks.elasticsearch.preflight import (
    BODY_LIMIT_BYTES,
    NO_PRIVILEGES_API,
    Privileges,
    decode_answer,
)
from tracesidecar.sinks.transport.http_endpoint import Endpoint

T = TypeVar("T")

IDS_AT_ONCE = 1000
MOST_HITS = 10_000
"""Elasticsearch returns no more by default (`index.max_result_window`).

An id may be in the indices of two days.
"""

DOCUMENTS_AT_ONCE = 5000
"""Each takes about 110 bytes of a multi get: nginx in front of the server allows 1 MB."""

_JSON = {"Content-Type": "application/json"}
_ANY_INDEX = {"ignore_unavailable": "true", "allow_no_indices": "true"}
_NOT_ALLOWED = frozenset({403, 404, 405})


class _Hit(msgspec.Struct):
    id: str = msgspec.field(name="_id")


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Shards(msgspec.Struct):
    failed: int


class _Refreshed(msgspec.Struct):
    shards: _Shards = msgspec.field(name="_shards")


class _Found(msgspec.Struct):
    timed_out: bool
    hits: _Hits
    shards: _Shards = msgspec.field(name="_shards")


async def find_documents(
    endpoint: Endpoint, index: IndexName, ids: Sequence[str]
) -> frozenset[str]:
    """Return which of these documents are stored.

    Raise RetryLater if the server cannot answer now; with reason `denied` if the credentials, or a
    gateway that lets only bulk requests pass, do not allow the question.
    """
    name = index.resolve("*", "*")
    await _require_privileges(endpoint, name)
    refreshed = await _ask(endpoint, name, "_refresh", b"", _Refreshed)
    _require_all_shards(endpoint, refreshed.shards)
    found: set[str] = set()
    for first in range(0, len(ids), IDS_AT_ONCE):
        some = ids[first : first + IDS_AT_ONCE]
        query = {"query": {"ids": {"values": some}}, "size": MOST_HITS, "_source": False}
        answer = await _ask(endpoint, name, "_search", msgspec.json.encode(query), _Found)
        _require_all_shards(endpoint, answer.shards, is_late=answer.timed_out)
        found.update(hit.id for hit in answer.hits.hits)
    return frozenset(found)


class DocumentName(NamedTuple):
    """A document of an index (no alias or data stream)."""

    index_name: str
    id: str


class _GetError(msgspec.Struct):
    type: str = ""


class _Got(msgspec.Struct):
    found: bool = False
    source: RawObject = msgspec.field(name="_source", default_factory=dict)
    error: _GetError | None = None


class _MultiGot(msgspec.Struct):
    docs: list[_Got]


async def read_origins(
    endpoint: Endpoint, form: ElasticsearchFormat, documents: Sequence[DocumentName]
) -> list[LineOrigin]:
    """Return of which lines these documents are, in order; of one that is gone nothing is known.

    Raise as `find_documents` does.
    """
    origins: list[LineOrigin] = []
    for first in range(0, len(documents), DOCUMENTS_AT_ONCE):
        origins += await _read_some(endpoint, form, documents[first : first + DOCUMENTS_AT_ONCE])
    return origins


async def _read_some(
    endpoint: Endpoint, form: ElasticsearchFormat, documents: Sequence[DocumentName]
) -> list[LineOrigin]:
    query = {"docs": [{"_index": each.index_name, "_id": each.id} for each in documents]}
    response = await endpoint.request(
        "POST",
        _JSON,
        msgspec.json.encode(query),
        url=(endpoint.url / "_mget").update_query(
            _source_includes=",".join(ORIGIN_FIELDS[form][1:]),
            filter_path="docs._id,docs.found,docs._source,docs.error.type",
        ),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    if response.status in _NOT_ALLOWED:
        raise _deny_reading(response.describe(endpoint.where))
    got = (await decode_answer(response, _MultiGot, endpoint)).docs
    if len(got) != len(documents):
        raise RetryLater(
            "answer",
            f"{endpoint.where} answered _mget for {len(got)} of {len(documents)} documents",
        )
    for each in got:
        if each.error is not None and each.error.type == "security_exception":
            raise _deny_reading(f"{endpoint.where} does not let the credentials read documents")
        if each.error is not None:
            raise RetryLater(
                "unavailable",
                f"{endpoint.where} could not read the documents that have an event's id; "
                "see its log if this goes on",
            )
    return [read_origin(each.source, form) for each in got]


def _deny_reading(problem: str) -> RetryLater:
    return RetryLater("denied", f"{problem}; grant the index privilege read")


async def _require_privileges(endpoint: Endpoint, name: str) -> None:
    """Raise RetryLater if the credentials may not search all of the indices.

    Elasticsearch answers a search by wildcard with what they may see, so an empty answer would say
    nothing.
    """
    query = {"index": [{"names": [name], "privileges": ["read", "maintenance"]}]}
    url = endpoint.url / "_security" / "user" / "_has_privileges"
    response = await endpoint.request(
        "POST", _JSON, msgspec.json.encode(query), url=url, body_limit_bytes=BODY_LIMIT_BYTES
    )
    if response.status in NO_PRIVILEGES_API:
        return
    if not (await decode_answer(response, Privileges, endpoint)).has_all_requested:
        raise _deny(f"{endpoint.where} reports that the credentials may not search {name}")


async def _ask(endpoint: Endpoint, name: str, action: str, query: bytes, kind: type[T]) -> T:
    response = await endpoint.request(
        "POST",
        _JSON,
        query,
        url=(endpoint.url / name / action).update_query(_ANY_INDEX),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    if response.status in _NOT_ALLOWED:
        raise _deny(f"{response.describe(endpoint.where)} to {action} of {name}")
    return await decode_answer(response, kind, endpoint)


def _deny(problem: str) -> RetryLater:
    return RetryLater(
        "denied",
        f"{problem}, so nobody can tell which documents of an unfinished batch are there; "
        "grant the index privileges read and maintenance",
    )


def _require_all_shards(endpoint: Endpoint, shards: _Shards, *, is_late: bool = False) -> None:
    if shards.failed or is_late:
        raise RetryLater(
            "unavailable",
            f"{endpoint.where} could not look at all shards for the documents that it has; "
            "see its log if this goes on",
        )
