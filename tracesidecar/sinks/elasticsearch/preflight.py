"""What can be known before the first document: whether the credentials may write, and whether an
index template fits.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import structlog

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks.elasticsearch.bulk_request import Target
from tracesidecar.sinks.transport.http_client import Answer
from tracesidecar.sinks.transport.http_endpoint import Endpoint
from tracesidecar.sinks.transport.http_responses import judge

log = structlog.get_logger(__name__)

T = TypeVar("T")

_ANSWER_BYTES = 4 << 20
_JSON = {"Content-Type": "application/json"}


class _Privileges(msgspec.Struct):
    has_all_requested: bool = True


class _Simulated(msgspec.Struct):
    template: object = None


async def check_access(endpoint: Endpoint, target: Target) -> None:
    """Prove the credentials, and where the server can tell (Elasticsearch, any user may ask), that
    they may create documents there.
    """
    name = _example(target)
    wanted = {"index": [{"names": [name], "privileges": ["create_doc"]}]}
    url = endpoint.url / "_security" / "user" / "_has_privileges"
    answer = await endpoint.request(
        "POST", _JSON, msgspec.json.encode(wanted), url=url, answer_bytes=_ANSWER_BYTES
    )
    if answer.status in {
        400,
        403,
        404,
        405,
        410,
    }:  # no such question: OpenSearch, or security is off
        return
    if not _read(answer, _Privileges, endpoint).has_all_requested:
        raise RetryLater(
            "denied",
            f"{endpoint.where} says that the credentials lack the index privilege create_doc on {name}: grant it",
        )


async def check_template(endpoint: Endpoint, target: Target) -> None:
    """Raise RetryLater where no index template fits the name.

    Who may not look at templates is not kept from writing.
    """
    name = _example(target)
    url = endpoint.url / "_index_template" / "_simulate_index" / name
    answer = await endpoint.request("POST", _JSON, url=url, answer_bytes=_ANSWER_BYTES)
    if answer.status == 403:
        log.info(
            "sink.template_unseen",
            destination=endpoint.where,
            needs="cluster privilege manage_index_templates",
        )
    elif answer.status >= 500 and await _is_there(
        endpoint, name
    ):  # an alias: no template makes one, and the question fails
        return
    elif _read(answer, _Simulated, endpoint).template is None:
        advice = f"run `tracesidecar ddl elasticsearch --apply {endpoint.where}`, make one of your own, or set check_template = false"
        raise RetryLater(
            "template", f"{endpoint.where} has no index template that fits {name}: {advice}"
        )


async def _is_there(endpoint: Endpoint, name: str) -> bool:
    return (await endpoint.request("HEAD", {}, url=endpoint.url / name)).status == 200


def _example(target: Target) -> str:
    return target.of(datetime.now(UTC).strftime("%Y-%m-%d"), "generic")


def _read(answer: Answer, kind: type[T], endpoint: Endpoint) -> T:
    try:
        judge(answer.status, answer.retry_after, endpoint.where)
        return msgspec.json.decode(answer.body, type=kind)
    except Rejected as refused:  # there is no content yet
        raise RetryLater(refused.reason, f"{refused.detail}: check url") from refused
    except msgspec.MsgspecError:  # not chained: its message may quote the answer
        raise RetryLater(
            "answer",
            f"{endpoint.where} does not answer as Elasticsearch does: check url, and what stands between",
        ) from None
