"""The response to a bulk request.

It says of each document whether it is stored, rejected, or to be sent again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from tracesidecar.errors import Rejected, RetryAdvice, RetryLater, SinkError
from tracesidecar.sinks.transport import (
    NOT_JSON,
    HttpResponse,
    raise_for_page,
    raise_for_status,
    unlike,
)

_STORED = frozenset({200, 201})
_ID_TAKEN = 409
"""A document with that id is there already: the same event's, or one of another line."""

_ERROR_TYPE = re.compile(r"[a-z_]{1,80}")

_INDEX_ERRORS = {
    "validation_exception": "the index cannot be created, usually because the cluster has its "
    "maximum of shards (cluster.max_shards_per_node)",
    "invalid_index_name_exception": "that is not a valid index name; correct index or data_stream",
    "index_closed_exception": "the index is closed; open it",
    "cluster_block_exception": "the index is blocked: its disk is nearly full, or someone has "
    "blocked writing",
    "index_not_found_exception": "the index does not exist and may not be created automatically "
    "(action.auto_create_index)",
}
"""Errors about the index.

Some come with status 400, like errors about a document: a cluster at its limit of shards must not
put every event into quarantine.
"""

_ALIAS_ERRORS = ("no write index is defined", "pipeline with id")
"""How the reason of an `illegal_argument_exception` begins if it is not about the document."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The document's id is taken in that index; empty if the server does not name it.

    The index is one that holds documents, not an alias or a data stream.
    """

    index: str


Outcome = SinkError | Taken | None
"""What became of a document: Rejected or RetryLater what they say, None is stored."""


class _Error(msgspec.Struct):
    """`reason` may quote the document, and is never repeated."""

    type: str = ""
    reason: str = ""
    index: str = ""

    @property
    def label(self) -> str:
        return self.type if _ERROR_TYPE.fullmatch(self.type) else "document_refused"


class _Item(msgspec.Struct):
    """`id` is there only if the server ignores `filter_path`."""

    status: int
    error: _Error | None = None
    id: str | None = msgspec.field(default=None, name="_id")


class _BulkResponse(msgspec.Struct):
    items: list[dict[Literal["create", "index", "update", "delete"], _Item]]


def parse_bulk_response(response: HttpResponse, ids: Sequence[str], where: str) -> list[Outcome]:
    """Return an outcome for each document, in the order of the request.

    Raise RetryLater if the body is not a response to a bulk request of documents with these ids,
    and Rejected if its status rejects all of them. Blocks for some milliseconds.
    """
    raise_for_page(response, where)
    raise_for_status(response, where)
    try:
        items = [
            item
            for result in msgspec.json.decode(response.body, type=_BulkResponse).items
            for item in result.values()
        ]
    except NOT_JSON:  # not chained: its message may quote the response
        raise unlike(
            response, where, "Elasticsearch would answer for each document, in items"
        ) from None
    if len(items) != len(ids):
        raise unlike(response, where, f"it is for {len(items)} of {len(ids)} documents")
    if any(item.id not in {None, sent} for item, sent in zip(items, ids, strict=True)):
        raise unlike(response, where, "it is for documents with other ids, or in another order")
    return [_outcome(item, where) for item in items]


def _outcome(item: _Item, where: str) -> Outcome:
    error = item.error or _Error()
    if item.status in _STORED and not item.error:
        return None
    if item.status == _ID_TAKEN:
        return Taken(error.index)
    answered = f"{where} answered {item.status} {error.label} for a document"
    if retry := _retry_reason(item.status, error):
        reason, advice = retry
        return RetryLater(reason, f"{answered}: {advice}")
    return Rejected(error.label, answered)


def _retry_reason(status: int, error: _Error) -> RetryAdvice | None:
    """Return why to send the document again later, and advice; None if it is rejected."""
    if status == 403 and error.type != "cluster_block_exception":
        return (
            "denied",
            "the credentials need create_doc there, and auto_configure to create the index",
        )
    if error.type in _INDEX_ERRORS:
        return "index", _INDEX_ERRORS[error.type]
    if error.type == "illegal_argument_exception" and error.reason.startswith(_ALIAS_ERRORS):
        return (
            "index",
            "the alias has no write index, or the ingest pipeline of the index does not exist",
        )
    if status == 429:
        return "throttled", "it asks for fewer requests"
    if status >= 500:
        return "unavailable", "it has a problem of its own; see its log if this goes on"
    if status == 400:
        return None
    return "status", "this status neither confirms nor rejects the document"
