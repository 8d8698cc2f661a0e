"""What the answer to a bulk request says of each document: stored, refused for what it holds, or to
be tried again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tracesidecar.errors import Rejected, RetryLater, SinkError

_STORED = frozenset({200, 201, 409})
"""409: a document of that id is there, which can only be this one."""

_LABEL = re.compile(r"[a-z_]{1,80}")

_INDEX_TROUBLE = {
    "validation_exception": "an index cannot be made, as a rule because the cluster has its maximum of shards (cluster.max_shards_per_node)",
    "invalid_index_name_exception": "that is no name of an index: mend index or data_stream",
    "index_closed_exception": "the index is closed: open it",
    "cluster_block_exception": "the index is blocked: its disk is nearly full, or someone has blocked writing",
    "index_not_found_exception": "the index is not there and may not be made by itself (action.auto_create_index)",
}
"""Errors about the index, also with status 400, which would else be taken for a judgment of the
document.
"""

_ALIAS_TROUBLE = ("no write index is defined", "pipeline with id")
"""Beginnings of the reason of an `illegal_argument_exception` that is not about the document."""


class _Error(msgspec.Struct):
    """`reason` may quote the document: it is never repeated."""

    type: str = ""
    reason: str = ""

    @property
    def label(self) -> str:
        return self.type if _LABEL.fullmatch(self.type) else "document_refused"


class _Item(msgspec.Struct):
    status: int
    error: _Error = msgspec.field(default_factory=_Error)


class _Answer(msgspec.Struct):
    items: list[dict[str, _Item]]


class Progress:
    """What is settled of one batch, over all attempts at it: `waiting` are the indexes of records
    still to be sent, `refused` have a reason.
    """

    def __init__(self, batch_id: str, records: int) -> None:
        self.batch_id = batch_id
        self.waiting: Sequence[int] = range(records)
        self.refused: dict[int, str] = {}

    def refuse_first(self, reason: str) -> None:
        """Note that the destination will never take the first that waits."""
        first, *self.waiting = self.waiting
        self.refused[first] = reason

    def settle(self, said: Sequence[SinkError | None]) -> None:
        """Note what was said of the first that wait; raise RetryLater where some have to be tried
        again.
        """
        asked, rest = self.waiting[: len(said)], self.waiting[len(said) :]
        answers = list(zip(asked, said, strict=True))
        self.refused |= {
            index: error.reason for index, error in answers if isinstance(error, Rejected)
        }
        later = [(index, error) for index, error in answers if isinstance(error, RetryLater)]
        self.waiting = [*(index for index, _ in later), *rest]
        if later:
            raise later[0][1]


def verdicts(body: bytes, count: int, where: str) -> list[SinkError | None]:
    """Judge each item of the answer, in the order of the request; raise RetryLater where that is no
    answer to it.
    """
    try:
        items = [
            item
            for result in msgspec.json.decode(body, type=_Answer).items
            for item in result.values()
        ]
    except msgspec.MsgspecError:  # not chained: its message may quote the answer
        raise RetryLater(
            "answer",
            f"{where} does not answer as Elasticsearch does: check url, and what stands between",
        ) from None
    if len(items) != count:
        raise RetryLater(
            "answer",
            f"{where} answered for {len(items)} documents of {count}: check what stands between",
        )
    return [_verdict(item, where) for item in items]


def _verdict(item: _Item, where: str) -> SinkError | None:
    if item.status in _STORED:
        return None
    error = item.error
    said = f"{where} answered {item.status} {error.label} for a document"
    if trouble := _trouble(item.status, error):
        return RetryLater(trouble[0], f"{said}: {trouble[1]}")
    return Rejected(error.label, said)


def _trouble(status: int, error: _Error) -> tuple[str, str] | None:
    """Name what time or a person can mend; None where the document is refused."""
    if status == 403 and error.type != "cluster_block_exception":
        return (
            "denied",
            "the credentials need the privilege create_doc there, and auto_configure to make the index",
        )
    if error.type in _INDEX_TROUBLE:
        return "index", _INDEX_TROUBLE[error.type]
    if error.type == "illegal_argument_exception" and error.reason.startswith(_ALIAS_TROUBLE):
        return (
            "index",
            "the alias has no write index, or the ingest pipeline of the index is not there",
        )
    if status == 429:
        return "throttled", "it asks us to slow down"
    if status >= 500:
        return "unavailable", "it is in trouble itself"
    return (
        None if status == 400 else ("status", "this is neither a yes nor a judgment of the content")
    )
