"""The checks before the first document.

They show whether the credentials may write, and whether an index template matches.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import structlog

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks.elasticsearch.bulk_request import IndexName
from tracesidecar.sinks.transport import (
    NOT_JSON,
    HttpResponse,
    raise_for_page,
    raise_for_status,
    unlike,
)
from tracesidecar.sinks.transport.http_endpoint import Endpoint

log = structlog.get_logger(__name__)

T = TypeVar("T")

BODY_LIMIT_BYTES = 4 << 20
"""The longest answer to a question: about documents, ids and privileges."""
_JSON = {"Content-Type": "application/json"}
NO_PRIVILEGES_API = frozenset({400, 403, 404, 405, 410})
"""How OpenSearch, or an Elasticsearch without security, answers to the query for privileges."""


class Privileges(msgspec.Struct):
    """Which of the privileges that were asked for the credentials have, by index."""

    has_all_requested: bool
    index: dict[str, dict[str, bool]] = msgspec.field(default_factory=dict)

    def has(self, privilege: str) -> bool:
        """Return whether they have one of them for all indices."""
        granted = [each.get(privilege, False) for each in self.index.values()]
        return self.has_all_requested or (bool(granted) and all(granted))


class _SimulatedIndex(msgspec.Struct):
    template: object = None


async def check_access(endpoint: Endpoint, index: IndexName) -> bool:
    """Prove the credentials, and return whether they may read documents, as far as is known.

    Raise RetryLater if the server says that they may not create documents.

    Elasticsearch answers that for any user. Other servers only prove that they take the
    credentials.
    """
    name = _example(index)
    query = {"index": [{"names": [name], "privileges": ["create_doc", "read"]}]}
    url = endpoint.url / "_security" / "user" / "_has_privileges"
    response = await endpoint.request(
        "POST", _JSON, msgspec.json.encode(query), url=url, body_limit_bytes=BODY_LIMIT_BYTES
    )
    if response.status in NO_PRIVILEGES_API:
        return True
    privileges = await decode_answer(response, Privileges, endpoint)
    if not privileges.has("create_doc"):
        raise RetryLater(
            "denied",
            f"{endpoint.where} reports that the credentials lack the index privilege create_doc "
            f"on {name}; grant it",
        )

    if not privileges.has("read"):
        warn_of_taken_ids(endpoint)
        return False
    return True


def warn_of_taken_ids(endpoint: Endpoint) -> None:
    """Say what the credentials cannot do without the right to read."""
    log.warning(
        "sink.ids_not_compared",
        destination=endpoint.where,
        needs="index privilege read",
        problem="an event whose id the index has counts as stored, even if that is of another line",
    )


async def check_template(endpoint: Endpoint, index: IndexName) -> None:
    """Raise RetryLater if no index template matches the name.

    Credentials that may write, but not read templates, pass the check.
    """
    name = _example(index)
    url = endpoint.url / "_index_template" / "_simulate_index" / name
    response = await endpoint.request("POST", _JSON, url=url, body_limit_bytes=BODY_LIMIT_BYTES)
    if response.status == 403:
        log.info(
            "sink.template_unseen",
            destination=endpoint.where,
            needs="cluster privilege manage_index_templates",
        )
    elif response.status >= 500 and await _exists(endpoint, name):
        # The name is an alias: no template creates it, and Elasticsearch answers 500 to the query.
        return
    elif (await decode_answer(response, _SimulatedIndex, endpoint)).template is None:
        raise RetryLater(
            "template",
            f"{endpoint.where} has no index template that matches {name}: "
            f"run `tracesidecar ddl elasticsearch --apply {endpoint.where}`, "
            "create one of your own, or set check_template = false",
        )


async def _exists(endpoint: Endpoint, name: str) -> bool:
    return (await endpoint.request("HEAD", {}, url=endpoint.url / name)).status == 200


def _example(index: IndexName) -> str:
    return index.resolve(datetime.now(UTC).strftime("%Y-%m-%d"), "generic")


async def decode_answer(response: HttpResponse, kind: type[T], endpoint: Endpoint) -> T:
    """Return the answer to a request without records; raise RetryLater if it is none."""
    return await asyncio.to_thread(_decode_blocking, response, kind, endpoint.where)


def _decode_blocking(response: HttpResponse, kind: type[T], where: str) -> T:
    try:
        raise_for_page(response, where)
        raise_for_status(response, where)
        return msgspec.json.decode(response.body, type=kind)
    except Rejected as error:  # nothing was sent that it could judge: retry, do not bisect
        raise error.become_retry("; check url") from error
    except NOT_JSON:  # not chained: its message may quote the response
        raise unlike(response, where, "this is not how Elasticsearch answers") from None
