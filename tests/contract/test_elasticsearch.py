"""What the Elasticsearch sink promises beyond the contract that all sinks share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from tests.contract.batches import batch_for, lines_of
from tests.contract.deliveries import World, delivery
from tests.contract.elasticsearch_place import SearchPlace
from tests.ddl.lakes import rows
from tests.servers.search import Gate, SearchServer
from tests.servers.stores import SECRET
from tracesidecar.deliver.bisect import RejectedRecord
from tracesidecar.encode.formats import encoder_for
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch, Record
from tracesidecar.sinks import elasticsearch
from tracesidecar.sinks.elasticsearch.sink import ElasticsearchSink
from tracesidecar.sinks.registry import promise_of, sink_type
from tracesidecar.sinks.transport.http_auth import Basic, Bearer
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Secret, Size

PRIVILEGES = "/_security/user/_has_privileges"
SECRET_TEXT = "the quick brown hunter2"
DAY, NEXT_DAY = "2026-09-21", "2026-09-22"


def batch_of(bodies: list[bytes], **changes: object) -> Batch:
    """Make a batch of records with these attributes, by the names of `Record`."""
    batch = batch_for("elasticsearch", bodies)
    return replace(
        batch, records=tuple(Record(**(record._asdict() | changes)) for record in batch.records)
    )


def on_days(batch: Batch, days: list[str]) -> Batch:
    """Return the records with these days, in turn."""
    records = tuple(
        record._replace(time=f"{days[number % len(days)]}T14:13:20.000000Z")
        for number, record in enumerate(batch.records)
    )
    return replace(batch, records=records)


def items(said: dict[str, object]) -> str:
    """Return a response with the same item for three documents."""
    return json.dumps({"items": [{"create": said}] * 3})


def events_in(form: str) -> Batch:
    """Return the invented events, encoded."""
    encode = encoder_for(form)
    records = tuple(
        Record(
            encode(event, dialect),
            event.event_id or "",
            dialect,
            event.conversation_id or "",
            "/t.jsonl",
            event.event_time or "",
            event.event_kind,
            None,
            None,
        )
        for dialect, event in rows()
    )
    return replace(batch_for("elasticsearch", [record.body for record in records]), records=records)


@pytest.mark.parametrize("form", ["ecs", "event", "ocsf"])
async def test_events_of_each_format_match_the_templates_and_go_to_the_index_of_their_day(
    elasticsearch_place: SearchPlace, form: str
) -> None:
    batch = events_in(form)
    async with elasticsearch.build(elasticsearch_place.options(format=form)) as sink:
        await sink.send(batch)
    found = {document["_id"]: document for document in elasticsearch_place.search.documents()}
    assert found.keys() == {record.id for record in batch.records}
    for record in batch.records:
        document = found[record.id]
        assert document["_index"] == f"tracesidecar-{form}-{record.time[:10]}"
        assert document["_source"] == {"@timestamp": record.time} | json.loads(record.body)


@pytest.mark.parametrize("form", ["ecs", "event", "ocsf", "raw"])
async def test_a_data_stream_takes_each_format(elasticsearch_place: SearchPlace, form: str) -> None:
    streams = {"ecs": "logs-tracesidecar.{dialect}-default"}
    name = streams.get(form, f"logs-tracesidecar_{form}-default")
    batch = events_in("event" if form == "raw" else form)
    async with elasticsearch.build(
        elasticsearch_place.options(format=form, data_stream=name)
    ) as sink:
        await sink.send(batch)
        await sink.send(replace(batch, id="b2"))
    assert sorted(document["_id"] for document in elasticsearch_place.search.documents()) == sorted(
        record.id for record in batch.records
    )
    streams_there = {
        stream["name"]
        for stream in elasticsearch_place.search.call("GET", "/_data_stream")["data_streams"]
    }
    assert streams_there == {name.replace("{dialect}", record.dialect) for record in batch.records}


async def test_a_data_stream_forgets_ids_at_its_rollover_and_promises_no_more(
    elasticsearch_place: SearchPlace,
) -> None:
    options = elasticsearch_place.options(data_stream="logs-tracesidecar_raw-default")
    batch = batch_of(lines_of(10))
    async with elasticsearch.build(options) as sink:
        await sink.send(batch)
        elasticsearch_place.search.call("POST", "/logs-tracesidecar_raw-default/_rollover")
        await sink.send(replace(batch, id="b2"))
    assert len(elasticsearch_place.lines()) == 20
    assert promise_of(options) == "at least once"
    assert promise_of(elasticsearch_place.options()) == "exactly once"


async def test_one_poisoned_document_among_thousands_is_rejected_alone_in_one_request(
    elasticsearch_place: SearchPlace,
) -> None:
    good = json.dumps({"@timestamp": f"{DAY}T00:00:00Z", "message": "hello"}).encode()
    poison = json.dumps(
        {"@timestamp": f"{DAY}T00:00:00Z", "process": {"pid": SECRET_TEXT}}
    ).encode()
    bodies = [good] * 5000
    bodies[1234] = poison
    with capture_logs() as logs:
        async with elasticsearch.build(elasticsearch_place.options(format="ecs")) as sink:
            rejected = await delivery(sink).send(batch_of(bodies))
    assert rejected == (RejectedRecord(1234, "strict_dynamic_mapping_exception"),)
    assert len(elasticsearch_place.gate.requests()) == 1
    assert len(elasticsearch_place.search.documents()) == 4999
    assert SECRET_TEXT not in str(logs)


async def test_a_rejection_never_repeats_what_the_server_quotes(
    elasticsearch_place: SearchPlace,
) -> None:
    quoted = json.dumps({"@timestamp": SECRET_TEXT}).encode()
    async with elasticsearch.build(elasticsearch_place.options(format="ecs")) as sink:
        with pytest.raises(Rejected) as caught:
            await sink.send(
                batch_of([quoted, json.dumps({"@timestamp": f"{DAY}T00:00:00Z"}).encode()])
            )
    assert (caught.value.records, caught.value.stored, caught.value.reason) == (
        (0,),
        True,
        "mapper_parsing_exception",
    )
    assert "hunter2" not in str(caught.value)
    assert len(elasticsearch_place.search.documents()) == 1


async def test_only_documents_that_were_not_stored_are_sent_again(
    elasticsearch_place: SearchPlace,
) -> None:
    search, gate = elasticsearch_place.search, elasticsearch_place.gate
    lines = lines_of(1000)
    batch = on_days(batch_of(lines), [DAY] * 9 + [NEXT_DAY])
    blocked = f"tracesidecar-raw-{NEXT_DAY}"
    search.call("PUT", f"/{blocked}")
    search.call("PUT", f"/{blocked}/_settings", {"index.blocks.read_only_allow_delete": True})
    async with elasticsearch_place.sink() as sink:
        with pytest.raises(RetryLater, match="disk is nearly full"):
            await sink.send(batch)
        assert len(elasticsearch_place.lines()) == 900
        search.call("PUT", f"/{blocked}/_settings", {"index.blocks.read_only_allow_delete": None})
        await sink.send(batch)
    assert sorted(elasticsearch_place.lines()) == sorted(lines)
    first, second = (request["bytes"] for request in gate.requests())
    assert second < first / 4


async def test_documents_rejected_before_a_retry_are_reported_after_it(
    elasticsearch_place: SearchPlace,
) -> None:
    search = elasticsearch_place.search
    good = json.dumps({"@timestamp": f"{DAY}T00:00:00Z"}).encode()
    batch = on_days(batch_of([good, good, b'{"strange": 1}', good, good, good]), [DAY, NEXT_DAY])
    blocked = f"tracesidecar-ecs-{NEXT_DAY}"
    search.call("PUT", f"/{blocked}")
    search.call("PUT", f"/{blocked}/_settings", {"index.blocks.write": True})
    world = World(
        repair=lambda: search.call("PUT", f"/{blocked}/_settings", {"index.blocks.write": False})
    )
    async with elasticsearch.build(elasticsearch_place.options(format="ecs")) as sink:
        rejected = await delivery(sink, world).send(batch)
    assert [record.index for record in rejected] == [2]
    assert len(world.errors) == 2
    assert len(search.documents()) == 5


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        pytest.param(
            "cluster.max_shards_per_node",
            "1",
            "maximum of shards",
            id="the cluster is full of shards, which it says with 400",
        ),
        pytest.param(
            "action.auto_create_index",
            "false",
            "may not be created automatically",
            id="indices may not make themselves",
        ),
    ],
)
async def test_an_index_that_cannot_be_created_rejects_no_document(
    elasticsearch_place: SearchPlace, setting: str, value: str, said: str
) -> None:
    def put(setting_value: str | None) -> None:
        elasticsearch_place.search.call(
            "PUT", "/_cluster/settings", {"transient": {setting: setting_value}}
        )

    lines = lines_of(10)
    elasticsearch_place.search.call("PUT", "/tracesidecar-raw-1999-01-01")
    world = World(repair=lambda: put(None))
    put(value)
    try:
        async with elasticsearch_place.sink() as sink:
            assert await delivery(sink, world).send(batch_of(lines)) == ()
    finally:
        put(None)
    assert said in str(world.errors[0])
    assert elasticsearch_place.lines() == lines


async def test_an_alias_without_a_write_index_rejects_no_document(
    elasticsearch_place: SearchPlace,
) -> None:
    for name in ("one", "two"):
        elasticsearch_place.search.call(
            "PUT",
            f"/tracesidecar-raw-{name}",
            {"aliases": {"tracesidecar-raw-all": {"is_write_index": False}}},
        )
    async with elasticsearch.build(
        elasticsearch_place.options(index="tracesidecar-raw-all")
    ) as sink:
        with pytest.raises(RetryLater, match="no write index"):
            await sink.send(batch_of(lines_of(10)))


async def test_a_request_over_the_limit_of_the_server_is_halved_until_it_fits(
    elasticsearch_place: SearchPlace,
) -> None:
    lines = lines_of(24, size_bytes=1 << 20)
    async with elasticsearch.build(
        elasticsearch_place.options(request_limit=Size.parse("1GiB"), timeout=Seconds(60))
    ) as sink:
        await sink.send(batch_of(lines))
    assert elasticsearch_place.lines() == lines
    statuses = [request["status"] for request in elasticsearch_place.gate.requests()]
    assert statuses == [413, 200, 200, 200]


async def test_a_document_over_the_limit_of_the_server_is_rejected_alone(
    elasticsearch_place: SearchPlace,
) -> None:
    """The sink's limit fits even if each byte is escaped; the server's own limit is 20 MiB here."""
    escaped = b'"%s"' % (b'\\"' * ((sink_type("elasticsearch").record_limit_bytes - 2) // 2))
    lines = [escaped, b'"%s"' % (b"x" * (21 << 20)), *lines_of(3)]
    async with elasticsearch.build(elasticsearch_place.options(timeout=Seconds(60))) as sink:
        rejected = await delivery(sink).send(batch_of(lines))
    assert rejected == (RejectedRecord(1, "too_large"),)
    assert elasticsearch_place.lines() == [lines[0], *lines[2:]]
    assert elasticsearch_place.gate.requests()[0]["status"] == 200


async def test_requests_stay_within_the_limit_and_are_compressed_as_configured(
    elasticsearch_place: SearchPlace,
) -> None:
    lines = lines_of(2000)
    async with elasticsearch.build(
        elasticsearch_place.options(request_limit=Size.parse("64KiB"), compression="none")
    ) as sink:
        await sink.send(batch_of(lines))
    requests = elasticsearch_place.gate.requests()
    assert elasticsearch_place.lines() == lines
    assert len(requests) > 5
    assert all(request["bytes"] <= 64 << 10 and request["encoding"] is None for request in requests)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 429, "headers": {"Retry-After": "7"}}, "throttled"),
        ({"status": 503}, "unavailable"),
        ({"status": 403}, "denied"),
        ({"status": 404}, "not_found"),
        ({"status": 200, "body": "<html>Welcome</html>"}, "answer"),
        ({"status": 200, "body": '{"items":[{"create":{"status":201}}]}'}, "answer"),
        ({"status": 200, "body": items({"status": 503})}, "unavailable"),
        ({"status": 200, "body": items({"status": 201, "error": {"type": "x"}})}, "status"),
        (
            {
                "status": 200,
                "body": items({"status": 403, "error": {"type": "security_exception"}}),
            },
            "denied",
        ),
    ],
)
async def test_what_a_person_or_time_can_fix_is_retried(
    elasticsearch_place: SearchPlace, answer: dict[str, object], reason: str
) -> None:
    """The gate answers in place of the server: none of these responses rejects documents."""
    lines = lines_of(3)
    async with elasticsearch_place.sink() as sink:
        elasticsearch_place.gate.order(
            authorization=f"ApiKey {SECRET}", answers={"/_bulk": [answer]}
        )
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_of(lines))
        await sink.send(batch_of(lines))
    assert caught.value.reason == reason
    assert caught.value.after_seconds == (7.0 if reason == "throttled" else None)
    assert elasticsearch_place.lines() == lines


async def test_without_a_template_nothing_is_sent_and_the_error_says_how_to_create_one(
    elasticsearch_place: SearchPlace,
) -> None:
    elsewhere = elasticsearch_place.options(index="traces-{dt}")
    with pytest.raises(
        RetryLater,
        match=(
            r"no index template that matches traces-.*: run `tracesidecar ddl elasticsearch "
            r"--apply http://127.0.0.1"
        ),
    ):
        await elasticsearch.build(elsewhere).__aenter__()
    async with elasticsearch.build(
        elasticsearch_place.options(index="traces-{dt}", check_template=False)
    ):
        pass


async def test_credentials_that_may_not_read_templates_may_still_write(
    elasticsearch_place: SearchPlace,
) -> None:
    answers: dict[str, list[dict[str, object]]] = {
        f"tracesidecar-raw-{datetime.now(UTC):%Y-%m-%d}": [{"status": 403}]
    }
    elasticsearch_place.gate.order(authorization=f"ApiKey {SECRET}", answers=answers)
    with capture_logs() as logs:
        async with elasticsearch_place.sink() as sink:
            await sink.send(batch_of(lines_of(3)))
    assert [log["event"] for log in logs] == ["sink.template_unseen"]
    assert len(elasticsearch_place.lines()) == 3


async def test_a_missing_privilege_is_reported_before_the_first_document(
    elasticsearch_place: SearchPlace,
) -> None:
    """OpenSearch has no such request; the gate answers it as Elasticsearch does."""
    answer: dict[str, object] = {
        "status": 200,
        "body": '{"username":"u","has_all_requested":false,"index":{"x":{"create_doc":false}}}',
    }
    elasticsearch_place.gate.order(authorization=f"ApiKey {SECRET}", answers={PRIVILEGES: [answer]})
    with pytest.raises(
        RetryLater, match="lack the index privilege create_doc on tracesidecar-raw-"
    ):
        await elasticsearch_place.sink().__aenter__()


async def test_basic_and_bearer_credentials_work_too(elasticsearch_place: SearchPlace) -> None:
    for auth, said in (
        (Basic(username="u", password=Secret("p")), "Basic dTpw"),
        (Bearer(token=Secret("t")), "Bearer t"),
    ):
        elasticsearch_place.gate.order(authorization=said)
        async with elasticsearch.build(elasticsearch_place.options(auth=auth)):
            pass


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return ca


def write_certificate(certificate: trustme.LeafCert, path: Path) -> Path:
    path.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    return path


def over_tls(gate: Gate, tls: TlsOptions) -> ElasticsearchSink:
    options = elasticsearch.Options(
        name="search",
        type="elasticsearch",
        format="raw",
        url=f"https://127.0.0.1:{gate.port}",
        tls=tls,
        timeout=Seconds(60),
    )
    return elasticsearch.build(options)


@pytest.mark.parametrize(
    ("certificate", "said"),
    [
        pytest.param(
            lambda ca: trustme.CA().issue_cert("127.0.0.1"),
            "unable to get local issuer certificate",
            id="unknown CA",
        ),
        pytest.param(lambda ca: ca.issue_cert("127.0.0.2"), "IP address mismatch", id="wrong host"),
        pytest.param(
            lambda ca: ca.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(1)),
            "certificate has expired",
            id="expired",
        ),
    ],
)
async def test_a_server_without_a_valid_certificate_gets_nothing(
    ca: trustme.CA, certificate: Callable[[trustme.CA], trustme.LeafCert], said: str, tmp_path: Path
) -> None:
    gate = Gate(
        tmp_path / "gate",
        9,
        certificate=write_certificate(certificate(ca), tmp_path / "server.pem"),
    )
    gate.server.start()
    try:
        with pytest.raises(RetryLater, match=said):
            await over_tls(gate, TlsOptions(ca_file=str(tmp_path / "ca.pem"))).__aenter__()
    finally:
        gate.server.stop()


async def test_a_client_certificate_is_required_and_read_again_when_it_changes(
    search_server: SearchServer, ca: trustme.CA, tmp_path: Path
) -> None:
    server = write_certificate(ca.issue_cert("127.0.0.1"), tmp_path / "server.pem")
    client = write_certificate(trustme.CA().issue_cert("client.example"), tmp_path / "client.pem")
    gate = Gate(
        tmp_path / "gate", search_server.port, certificate=server, client_ca=tmp_path / "ca.pem"
    )
    gate.server.start()
    world = World(repair=lambda: write_certificate(ca.issue_cert("client.example"), client))
    sink = over_tls(gate, TlsOptions(ca_file=str(tmp_path / "ca.pem"), cert_file=str(client)))
    try:
        await delivery(sink, world).connect()
        await sink.send(batch_of(lines_of(10)))
        await sink.__aexit__(None, None, None)
    finally:
        gate.server.stop()
    assert len(world.errors) == 2
    assert len(search_server.documents()) == 10


@pytest.mark.parametrize(
    "name", ["Traces", "-traces", "traces*", "traces {dt}", "traces-{day}", "_traces", "a,b"]
)
def test_an_invalid_index_name_is_rejected_at_once(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        elasticsearch.Options(name="search", type="elasticsearch", url="https://h", index=name)


def test_index_and_data_stream_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="both given"):
        elasticsearch.Options(
            name="search", type="elasticsearch", url="https://h", index="a", data_stream="b"
        )


def test_the_destination_names_address_and_index() -> None:
    options = elasticsearch.Options(
        name="search", type="elasticsearch", url="https://h:9200/es?token=hunter2"
    )
    assert (
        elasticsearch.SINK_TYPE.destination(options)
        == "elasticsearch:https://h:9200/es tracesidecar-ecs-{dt}"
    )


def test_no_heavy_client_is_imported() -> None:
    heavy = {
        "boto3",
        "confluent_kafka",
        "psycopg",
        "google.cloud",
        "azure",
        "pyarrow",
        "duckdb",
        "opentelemetry",
    }
    code = (
        f"import sys, tracesidecar.sinks.elasticsearch.sink; print(sorted({heavy!r} & "
        "set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.stdout == "[]\n"


@pytest.mark.long
async def test_a_restarted_node_has_every_document_that_it_confirmed(
    elasticsearch_place: SearchPlace,
) -> None:
    search, lines = elasticsearch_place.search, lines_of(200)
    async with elasticsearch_place.sink() as sink:
        await sink.send(batch_for("elasticsearch", lines[:100], batch_id="b1"))
        search.server.stop()
        world = World(repair=search.start)
        await delivery(sink, world).send(batch_for("elasticsearch", lines[100:], batch_id="b2"))
    assert len(world.errors) >= 2
    assert elasticsearch_place.lines() == lines
