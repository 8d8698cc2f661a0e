"""`check-config --online` reports for each sink what a person must correct: which credential, which
right, which index, which certificate.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.azure_place import AzurePlace
from tests.contract.collector_places import CollectorPlace
from tests.contract.conftest import NETWORK_PLACES
from tests.contract.elasticsearch_place import SearchPlace
from tests.contract.gcs_place import GcsPlace
from tests.contract.kafka_place import TopicPlace
from tests.contract.patience import PATIENT
from tests.contract.places import BucketPlace, NetworkPlace
from tests.contract.sql_place import PostgresPlace
from tests.servers.processes import free_port
from tests.servers.receiving import ReceivingServer
from tracesidecar.introspect.connectivity import check_connections
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import sink_type as declared_type
from tracesidecar.sinks.transport.http_auth import OAuth2
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Secret

WRONG = "hunter2"

REJECTED = {
    "azure_place": (
        r"container traces-\d+ at \S+ answered 403 AuthorizationFailure: .* correct "
        r"credentials_file, the key, the signature"
    ),
    "datadog_place": r"answered 403 Forbidden: .* correct api_key",
    "elasticsearch_place": r"answered 401 Unauthorized: .* correct auth, or the file that it names",
    "gcs_place": (
        r"bucket traces at \S+ was not contacted, for lack of credentials \(RefreshError\): no "
        r"token can be obtained: correct credentials_file"
    ),
    "http_place": r"answered 401 Unauthorized to HEAD: correct auth",
    "kafka_place": (
        r"kafka at \S+ reported \w*AUTHENTICATION\w*: it rejects the credentials; correct sasl"
    ),
    "loki_place": r"answered 401 Unauthorized: .* correct auth, or the file that it names",
    "otlp_place": r"answered 401 Unauthorized: .* correct auth, or the file that it names",
    "postgres_place": r"rejected the login: .*; correct url or the password",
    "relp_place": r"closed the connection; .* whether it accepts our credentials \(tls.cert_file\)",
    "s3_place": (
        r"bucket traces at \S+ answered 403 SignatureDoesNotMatch: .* correct credentials_file"
    ),
    "splunk_place": r"answered 401: it rejects the credentials; correct token",
    "syslog_place": (
        r"closed the connection; .* whether it accepts our credentials \(tls.cert_file\)"
    ),
}

UNKNOWN_CA = "unable to get local issuer certificate.* set tls.ca_file to the certificate of the CA"


def options_for(sink_type: str, **given: Any) -> SinkOptions:
    return declared_type(sink_type).options(name="tried", type=sink_type, **given)


async def check_one(options: SinkOptions) -> str:
    """Check one sink; return what it reports, nothing if all is good."""
    (answer,) = await check_connections([options])
    assert answer.is_good is (not answer.detail)
    return answer.detail


def assert_said(said: str, pattern: str) -> None:
    assert re.search(pattern, said), said


@pytest.mark.parametrize("name", [*NETWORK_PLACES, "syslog_place"])
async def test_rejected_credentials_are_reported_with_what_to_fix_and_fixed_ones_work(
    name: str, request: pytest.FixtureRequest
) -> None:
    place: NetworkPlace = request.getfixturevalue(name)
    right = place.credentials.read_text()
    place.credentials.write_text(place.credentials_with(WRONG))
    said = await check_one(place.options())
    assert WRONG not in said
    place.credentials.write_text(right)
    assert await check_one(place.options()) == ""
    assert_said(said, REJECTED[name])


async def test_a_bucket_that_does_not_exist_is_reported(
    s3_place: BucketPlace, gcs_place: GcsPlace
) -> None:
    assert (
        "404 NoSuchBucket: there is no such bucket: create it, or correct bucket"
        in await check_one(s3_place.options(bucket="not-there"))
    )
    assert "there is no such bucket: create it, or correct bucket" in await check_one(
        gcs_place.options(bucket="not-there")
    )


async def test_a_container_that_does_not_exist_is_reported(azure_place: AzurePlace) -> None:
    assert "there is no such container: create it, or correct container" in await check_one(
        azure_place.options(container="not-there")
    )


async def test_unreadable_credentials_are_not_reported_as_an_unreachable_store(
    s3_place: BucketPlace, gcs_place: GcsPlace, azure_place: AzurePlace
) -> None:
    for place in (s3_place, gcs_place, azure_place):
        place.credentials.unlink()
        assert "was not contacted" in (said := await check_one(place.options()))
        assert "correct credentials_file" in said


async def test_an_index_without_template_and_a_privilege_that_is_missing_are_reported(
    elasticsearch_place: SearchPlace,
) -> None:
    said = await check_one(elasticsearch_place.options(index="other-{dt}"))
    assert "has no index template that matches other-" in said
    assert "run `tracesidecar ddl elasticsearch --apply" in said
    # OpenSearch has no such request: the response is Elasticsearch's.
    elasticsearch_place.gate.order(
        answers={"/_has_privileges": [{"status": 200, "body": '{"has_all_requested":false}'}]}
    )
    assert (
        "the credentials lack the index privilege create_doc on tracesidecar-raw-"
        in await check_one(elasticsearch_place.options())
    )


async def test_an_address_where_nothing_takes_logs_is_reported(
    loki_place: CollectorPlace, otlp_place: CollectorPlace, splunk_place: CollectorPlace
) -> None:
    for place in (loki_place, otlp_place):
        wrong = f"http://127.0.0.1:{place.way.port}/elsewhere"
        assert (
            "answered 404 Not Found: nothing accepts records at that address; check url"
            in await check_one(place.options(url=wrong))
        )
    plain = f"http://127.0.0.1:{splunk_place.collector.ports['PLAIN']}"
    assert "check url, and whether the token has indexer acknowledgement" in await check_one(
        splunk_place.options(url=plain)
    )


async def test_a_database_that_does_not_exist_and_a_privilege_that_is_missing_are_reported(
    postgres_place: PostgresPlace,
) -> None:
    elsewhere = Secret(postgres_place.options().url.rpartition("/")[0] + "/elsewhere")
    assert 'database "elsewhere" does not exist; correct url' in await check_one(
        postgres_place.options(url=elsewhere)
    )
    assert (
        "the user lacks a privilege: make it the owner of the schema, or grant it"
        in await check_one(postgres_place.options(schema="pg_catalog"))
    )


async def test_a_topic_that_does_not_exist_is_reported(kafka_place: TopicPlace) -> None:
    assert "the topic does not exist; create it" in await check_one(
        kafka_place.options(topic="not-there")
    )


async def test_a_port_with_another_protocol_is_reported(receiver: ReceivingServer) -> None:
    there = {"host": "127.0.0.1", **PATIENT}
    assert "does not speak RELP; check host and port" in await check_one(
        options_for("relp", port=receiver.port, **there)
    )
    said = await check_one(options_for("syslog", port=receiver.port, tls=TlsOptions(), **there))
    assert "that port does not speak TLS; correct the address or the port" in said
    for sink_type in ("relp", "syslog"):
        nobody = options_for(sink_type, port=free_port(), tls=TlsOptions(), **there)
        assert "failed: Connection refused; check host, port" in await check_one(nobody)


async def test_a_web_address_that_cannot_be_reached_is_reported(receiver: ReceivingServer) -> None:
    assert "the name of http://nowhere.invalid could not be resolved; check url" in await check_one(
        options_for("http", url="http://nowhere.invalid/")
    )
    said = await check_one(options_for("http", url=f"http://127.0.0.1:{free_port()}/"))
    assert "failed: Connection refused; check url, and whether the server is up" in said
    auth = OAuth2(
        token_url=f"http://127.0.0.1:{receiver.port}/_token",
        client_id="other",
        client_secret=Secret(WRONG),
    )
    said = await check_one(options_for("http", url=receiver.url, auth=auth))
    assert (
        "the token endpoint answered 401; check token_url, client_id and client_secret of auth"
        in said
    )
    assert WRONG not in said


async def test_a_rejection_before_any_content_is_sent_is_no_rejection(
    receiver: ReceivingServer,
) -> None:
    receiver.order(answers=[{"status": 400}, {"status": 413}])
    given = {"url": receiver.url, "api_key": Secret("k")}
    assert "to a request without records; check url" in await check_one(
        options_for("datadog", **given)
    )
    assert "to a request without records; check url" in await check_one(
        options_for("otlp", url=receiver.url, format="otlp")
    )


async def test_a_place_on_disk_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "a file is where a folder should be: correct path" in await check_one(
        options_for("directory", path=str(tmp_path / "file" / "lake"))
    )
    missing = tmp_path / "none"
    assert "correct the rights of its folder, or url" in await check_one(
        options_for("sql", url=Secret(f"sqlite://{missing}/traces.db"))
    )
    assert "check the rights of its folder" in await check_one(
        options_for("sql", url=Secret(f"duckdb://{missing}/traces.duckdb"))
    )


def test_a_standard_output_that_is_closed_is_reported() -> None:
    code = """
import asyncio, sys
from tracesidecar.introspect.connectivity import check_connections
from tracesidecar.sinks.stdout.sink import Options
[answer] = asyncio.run(check_connections([Options(name="screen", type="stdout")]))
sys.stderr.write(answer.detail)
"""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        "standard output is closed; start tracesidecar with it open, or remove this sink"
        in done.stderr
    )


TLS_OPTIONS: dict[str, Callable[[int], dict[str, object]]] = {
    "azure": lambda port: {
        "account_url": f"https://127.0.0.1:{port}/account",
        "container": "traces",
        "account_key": Secret("YWJj"),
    },
    "datadog": lambda port: {"url": f"https://127.0.0.1:{port}/", "api_key": Secret("k")},
    "elasticsearch": lambda port: {"url": f"https://127.0.0.1:{port}"},
    "http": lambda port: {"url": f"https://127.0.0.1:{port}/"},
    "loki": lambda port: {"url": f"https://127.0.0.1:{port}/"},
    "otlp": lambda port: {"url": f"https://127.0.0.1:{port}/", "format": "otlp"},
    "relp": lambda port: {"host": "127.0.0.1", "port": port, "tls": TlsOptions()},
    "s3": lambda port: {
        "endpoint_url": f"https://127.0.0.1:{port}",
        "bucket": "traces",
        "access_key": Secret("k"),
        "secret_key": Secret("s"),
    },
    "splunk": lambda port: {"url": f"https://127.0.0.1:{port}", "token": Secret("t")},
    "syslog": lambda port: {"host": "127.0.0.1", "port": port, "tls": TlsOptions()},
}


@pytest.fixture(scope="module")
def unknown_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingServer]:
    """Start a server with a certificate of an unknown CA; only its handshake matters."""
    folder = tmp_path_factory.mktemp("unknown")
    (folder / "server.pem").write_bytes(
        trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
    )
    receiver = ReceivingServer(folder, certificate=folder / "server.pem")
    receiver.server.start()
    yield receiver
    receiver.server.stop()


@pytest.mark.parametrize("sink_type", TLS_OPTIONS)
async def test_an_unknown_ca_is_reported_with_the_option_that_names_it(
    sink_type: str, unknown_server: ReceivingServer
) -> None:
    options = options_for(
        sink_type,
        **TLS_OPTIONS[sink_type](unknown_server.port),
        **PATIENT,
    )
    assert_said(await check_one(options), UNKNOWN_CA)


async def test_an_unknown_ca_of_google_and_of_a_broker_is_reported(
    gcs_place: GcsPlace, unknown_server: ReceivingServer
) -> None:
    assert_said(
        await check_one(gcs_place.options(endpoint_url=f"https://127.0.0.1:{unknown_server.port}")),
        UNKNOWN_CA,
    )
    broker = options_for(
        "kafka",
        brokers=(f"127.0.0.1:{unknown_server.port}",),
        topic="traces",
        tls=TlsOptions(),
        timeout=Seconds(60),
    )
    assert_said(
        await check_one(broker),
        "certificate (could not be verified|verify failed).* check tls and the certificates of "
        "the brokers",
    )
