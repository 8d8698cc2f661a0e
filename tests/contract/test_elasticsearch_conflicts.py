"""A document whose id another line has is created under a derived id, in each format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.contract.batches import batch_for
from tests.contract.deliveries import World, delivery
from tests.contract.elasticsearch_place import SearchPlace
from tests.encode.events import event
from tests.servers.stores import SECRET
from tracesidecar.ddl.elasticsearch import ecs_mapping
from tracesidecar.dialects import Event
from tracesidecar.encode.formats import encoder_for
from tracesidecar.model import Batch, Record
from tracesidecar.sinks import elasticsearch

FORMATS = ["ecs", "event", "ocsf", "raw"]
MINE, YOURS = "/traces/mine.jsonl", "/traces/yours.jsonl"
ID_FIELDS = {
    "ecs": ("event", "id"),
    "event": ("event_id",),
    "ocsf": ("metadata", "uid"),
    "raw": ("event", "id"),
}


def body(text: str) -> bytes:
    return json.dumps({"text": text}).encode()


def line(text: str, path: str = MINE, number: int = 1, **given: object) -> Event:
    """Make the event of a line with this text; one number is one id."""
    columns: dict[str, object] = {
        "event_id": f"{number:032x}",
        "text": text,
        "source_file": path,
        "line_sha256": hashlib.sha256(body(text)).hexdigest(),
        "raw": body(text).decode(),
    }
    return msgspec.structs.replace(event("user_message"), **(columns | given))


def derive_id(text: str, number: int = 1) -> str:
    """Return the id under which a second line is stored, by its definition in the docs."""
    digest = hashlib.sha256(body(text)).hexdigest()
    return hashlib.sha256(f"{number:032x}\0{digest}".encode()).hexdigest()[:32]


def batch_of(events: Iterable[Event], form: str, batch_id: str = "b1") -> Batch:
    """Make a batch as the pipeline does."""
    records = tuple(
        Record(
            (each.raw or "").encode() if form == "raw" else encoder_for(form)(each, "generic"),
            each.event_id or "",
            "generic",
            each.conversation_id or "",
            each.source_file or "",
            each.event_time or "",
            each.event_kind,
            None,
            None,
            line_sha256=each.line_sha256 or "",
            processed_by=each.processed_by or "",
        )
        for each in events
    )
    batch = batch_for("elasticsearch", [each.body for each in records], batch_id=batch_id)
    return replace(batch, records=records)


async def deliver(
    place: SearchPlace, form: str, *batches: Iterable[Event], **changes: object
) -> dict[str, int]:
    """Deliver batch after batch, each by a process of its own; return the conflicts, by path."""
    world = World()
    for number, events in enumerate(batches):
        async with elasticsearch.build(place.options(format=form, **changes)) as sink:
            assert await delivery(sink, world).send(batch_of(events, form, f"b{number}")) == ()
    return dict(world.conflicts)


def texts(place: SearchPlace, form: str) -> dict[str, str]:
    """Return the line of each document, by its id, which must be that in its body."""
    found: dict[str, str] = {}
    for document in place.search.documents():
        inner = document["_source"]
        for name in ID_FIELDS[form]:
            inner = inner[name]
        assert inner == document["_id"]
        source = document["_source"]
        raw = source.get("raw") or source.get("raw_data") or source["event"]["original"]
        found[document["_id"]] = json.loads(raw)["text"]
    return found


@pytest.mark.parametrize("form", FORMATS)
async def test_both_lines_of_one_id_are_there_and_a_repeat_of_either_counts_nothing(
    elasticsearch_place: SearchPlace, form: str
) -> None:
    both = [line("mine"), line("yours", YOURS)]
    given = [[both[0]], [both[1]], both, both[::-1]]
    assert await deliver(elasticsearch_place, form, *given) == {YOURS: 1}
    assert texts(elasticsearch_place, form) == {f"{1:032x}": "mine", derive_id("yours"): "yours"}
    async with elasticsearch.build(elasticsearch_place.options(format=form)) as sink:
        receipt = await sink.find_stored("b1", [both[1].event_id or "", "0" * 32])
    assert receipt.stored == {0}, "what is there under a derived id counts as arrived"


async def test_lines_with_one_id_in_one_batch_are_all_kept(
    elasticsearch_place: SearchPlace,
) -> None:
    others = [line(f"other {number}", number=number) for number in range(2, 50)]
    given = [line("mine"), *others, line("yours", YOURS), line("theirs", YOURS), line("mine")]
    assert await deliver(elasticsearch_place, "ecs", given) == {YOURS: 2}
    assert texts(elasticsearch_place, "ecs") == {
        f"{1:032x}": "mine",
        derive_id("yours"): "yours",
        derive_id("theirs"): "theirs",
    } | {each.event_id: each.text for each in others}


@pytest.mark.parametrize("changes", [{"processed_by": "1.0.0+11111111"}, {"processed_by": None}])
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_line_that_other_rules_made_is_a_repeat(
    elasticsearch_place: SearchPlace, changes: dict[str, object], *, is_first: bool
) -> None:
    both = [line("mine"), msgspec.structs.replace(line("mine, otherwise redacted"), **changes)]
    first, second = both if is_first else both[::-1]
    assert await deliver(elasticsearch_place, "event", [first], [second]) == {}
    assert texts(elasticsearch_place, "event") == {first.event_id: first.text}


@pytest.mark.parametrize(
    "changes",
    [{"data_stream": "logs-tracesidecar.{dialect}-default"}, {"index": "tracesidecar-ecs-all"}],
)
async def test_ids_are_compared_behind_a_data_stream_and_an_alias(
    elasticsearch_place: SearchPlace, changes: dict[str, object]
) -> None:
    aliases = {"aliases": {"tracesidecar-ecs-all": {"is_write_index": True}}}
    elasticsearch_place.search.call("PUT", "/tracesidecar-ecs-000001", aliases)
    given = [[line("mine")], [line("yours", YOURS)], [line("yours", YOURS)]]
    assert await deliver(elasticsearch_place, "ecs", *given, **changes) == {YOURS: 1}
    assert texts(elasticsearch_place, "ecs") == {f"{1:032x}": "mine", derive_id("yours"): "yours"}


async def test_nothing_is_read_unless_an_id_is_taken_and_then_all_in_one_request(
    elasticsearch_place: SearchPlace,
) -> None:
    events = [line(f"line {number}", number=number) for number in range(300)]
    await deliver(elasticsearch_place, "ecs", events)
    assert elasticsearch_place.gate.requests("/_mget") == []
    await deliver(elasticsearch_place, "ecs", events)
    assert len(elasticsearch_place.gate.requests("/_mget")) == 1


async def test_a_comparison_that_fails_for_a_while_is_made_again_and_counts_once(
    elasticsearch_place: SearchPlace,
) -> None:
    gate = elasticsearch_place.gate
    await deliver(elasticsearch_place, "ecs", [line("mine")])
    answers: list[dict[str, object]] = [
        {"status": 503},
        {"status": 200, "body": '{"docs":[]}'},
        {"status": 200, "body": '{"docs":[{"_id":"x","error":{"type":"no_shard_available"}}]}'},
    ]
    gate.order(authorization=f"ApiKey {SECRET}", answers={"/_mget": answers})
    given = [line("new", number=2), line("yours", YOURS)]
    assert await deliver(elasticsearch_place, "ecs", given) == {YOURS: 1}
    assert texts(elasticsearch_place, "ecs") == {
        f"{1:032x}": "mine",
        f"{2:032x}": "new",
        derive_id("yours"): "yours",
    }


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 403},
        {
            "status": 200,
            "body": '{"docs":[{"_id":"x","error":{"type":"security_exception"}}]}',
        },
    ],
)
async def test_credentials_that_may_not_read_still_deliver_and_the_log_says_what_they_need(
    elasticsearch_place: SearchPlace, answer: dict[str, object]
) -> None:
    await deliver(elasticsearch_place, "ecs", [line("mine")])
    order = {"/_mget": [answer]}
    elasticsearch_place.gate.order(authorization=f"ApiKey {SECRET}", answers=order)
    with capture_logs() as logs:
        given = [line("new", number=2), line("yours", YOURS)]
        assert await deliver(elasticsearch_place, "ecs", given) == {}
    [warning] = logs
    assert (warning["event"], warning["needs"]) == ("sink.ids_not_compared", "index privilege read")
    assert set(texts(elasticsearch_place, "ecs").values()) == {"mine", "new"}


async def test_a_missing_right_to_read_is_reported_before_the_first_document(
    elasticsearch_place: SearchPlace,
) -> None:
    """OpenSearch has no such request; the gate answers it as Elasticsearch does."""
    said = {"has_all_requested": False, "index": {"x": {"create_doc": True, "read": False}}}
    answers = {"/_has_privileges": [{"status": 200, "body": json.dumps(said)}]}
    elasticsearch_place.gate.order(authorization=f"ApiKey {SECRET}", answers=answers)
    with capture_logs() as logs:
        await deliver(elasticsearch_place, "ecs", [line("mine")])
    assert [log["event"] for log in logs] == ["sink.ids_not_compared"]


async def test_a_document_that_is_not_ours_says_nothing_and_holds_nothing_up(
    elasticsearch_place: SearchPlace,
) -> None:
    search = elasticsearch_place.search
    search.call("PUT", "/theirs", {"mappings": {"dynamic": False}})
    search.call("PUT", f"/theirs/_doc/{1:032x}", {"event": {"hash": {"a secret": "hunter2"}}})
    changes = {"index": "theirs", "check_template": False}
    with capture_logs() as logs:
        assert await deliver(elasticsearch_place, "ecs", [line("mine")], **changes) == {}
    assert logs == []


async def test_raw_lines_go_into_an_index_that_an_earlier_version_made(
    elasticsearch_place: SearchPlace,
) -> None:
    """Its mapping is strict, and has no column of a later version."""
    mapping = json.loads(json.dumps(ecs_mapping("flat_object")))
    for later in ("generation", "processed_by"):
        del mapping["properties"]["tracesidecar"]["properties"][later]
    first, second = line("mine"), line("yours", YOURS)
    day = (first.event_time or "")[:10]
    elasticsearch_place.search.call("PUT", f"/tracesidecar-raw-{day}", {"mappings": mapping})
    assert await deliver(elasticsearch_place, "raw", [first], [second]) == {YOURS: 1}
    assert set(texts(elasticsearch_place, "raw").values()) == {"mine", "yours"}
