"""What the syslog and RELP sinks promise beyond the contract, tested against rsyslog."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import pytest
import trustme

from tests.contract.batches import batch_for, lines_of
from tests.contract.deliveries import World, delivery
from tests.contract.patience import PATIENT
from tests.contract.syslog_place import Authority, LogPlace
from tests.contract.test_contract import (
    test_a_server_that_is_down_at_start_is_waited_for,
    test_a_server_that_restarts_costs_nothing,
    test_credentials_that_are_rotated_while_running_are_read_again,
    test_hundreds_of_failures_in_a_row_exhaust_nothing,
    test_wrong_credentials_hold_the_sink_until_they_are_fixed_on_disk,
)
from tests.servers.rsyslog import Input, LogServer, ServerTls
from tests.servers.toxiproxy import Toxiproxy
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch, Record
from tracesidecar.sinks import relp, syslog
from tracesidecar.sinks.registry import promise_of, record_limit_of
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Size

__all__ = [
    "test_a_server_that_is_down_at_start_is_waited_for",
    "test_a_server_that_restarts_costs_nothing",
    "test_credentials_that_are_rotated_while_running_are_read_again",
    "test_hundreds_of_failures_in_a_row_exhaust_nothing",
    "test_wrong_credentials_hold_the_sink_until_they_are_fixed_on_disk",
]

PEER = "client.example"


@pytest.fixture
def network_place(syslog_place: LogPlace) -> LogPlace:
    """Run the contract tests that need no acknowledgement, which syslog does not have."""
    return syslog_place


def options_for(
    kind: Input | Literal["tls"], port: int, **changes: object
) -> syslog.Options | relp.Options:
    """Make the options of a sink for an input of rsyslog."""
    usual: syslog.Options | relp.Options
    if kind == "relp":
        usual = relp.Options(name="audit", type="relp", host="127.0.0.1", port=port)
    else:
        usual = syslog.Options(
            name="siem", type="syslog", host="127.0.0.1", port=port, transport=kind
        )
    return msgspec.structs.replace(usual, **(PATIENT | changes))


def sink_of(options: syslog.Options | relp.Options) -> Sink:
    return relp.build(options) if isinstance(options, relp.Options) else syslog.build(options)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., LogServer]]:
    """Start servers that are stopped after the test."""
    servers: list[LogServer] = []

    def start(
        kind: Input, tls: ServerTls | None = None, permitted: str = "", *, is_bare: bool = False
    ) -> LogServer:
        server = LogServer(
            tmp_path / f"rsyslog-{len(servers)}", kind, tls, permitted, is_bare=is_bare
        )
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def batch_of_records(*records: Record) -> Batch:
    return replace(batch_for("syslog", [record.body for record in records]), records=records)


RECORD = Record(
    b'{"a":1}',
    "0" * 32,
    "claude_code",
    "c1",
    "/traces/a.jsonl",
    "2026-09-21T14:13:20.123456Z",
    "tool_call",
    "t" * 32,
    "s" * 16,
    "informational",
)


@pytest.mark.parametrize("kind", ["tcp", "udp", "relp"])
async def test_the_server_understands_every_field(
    kind: Input, running: Callable[..., LogServer]
) -> None:
    server = running(kind)
    odd = RECORD._replace(
        id="1" * 32,
        kind="error",
        conversation='a"b\\c]d\ne',
        severity="medium",
        body='{"text":"naïve ☃"}'.encode(),
        trace_id=None,
        span_id=None,
    )
    failed = RECORD._replace(id="2" * 32, severity="low")
    async with sink_of(
        options_for(
            kind,
            server.port,
            facility="local3",
            hostname="builder-7",
            app_name="agents",
            procid="42",
        )
    ) as sink:
        await sink.send(batch_of_records(RECORD, odd, failed))
    first, second, third = server.read_understood()
    assert (first.pri, first.time, first.hostname, first.app_name, first.procid, first.msgid) == (
        19 * 8 + 6,
        "2026-09-21T14:13:20.123456Z",
        "builder-7",
        "agents",
        "42",
        "tool_call",
    )
    ids = (
        f'event="{RECORD.id}" conversation="c1" dialect="claude_code" source="/traces/a.jsonl" '
        f'trace="{RECORD.trace_id}" span="{RECORD.span_id}"'
    )
    assert first.structured_data == f"[tracesidecar@32473 {ids}]"
    assert first.msg == '\ufeff{"a":1}'
    assert (second.pri, second.msgid, second.record) == (19 * 8 + 3, "error", odd.body)
    assert ' conversation="a\\"b\\\\c\\]d\ufffde"' in second.structured_data
    assert third.pri == 19 * 8 + 5


@pytest.mark.parametrize("kind", ["tcp", "udp", "relp"])
async def test_a_record_at_the_limit_arrives_and_a_longer_one_is_rejected_alone(
    kind: Input, running: Callable[..., LogServer]
) -> None:
    server = running(kind)
    options = options_for(kind, server.port, facility="local7")
    limit = record_limit_of(options)
    lines = lines_of(40)
    for index, size in {10: limit, 20: limit + 1, 30: 10 * limit}.items():
        lines[index] = b'"' + b"x" * (size - 2) + b'"'
    records = tuple(record._replace(kind="k" * 32) for record in batch_for("syslog", lines).records)
    async with sink_of(options) as sink:
        rejected = await delivery(sink).send(batch_of_records(*records))
    assert [(record.index, record.reason) for record in rejected] == [
        (20, "too_large"),
        (30, "too_large"),
    ]
    assert server.records() == [line for index, line in enumerate(lines) if index not in {20, 30}]


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_the_longest_message_is_accepted_whole_by_an_unconfigured_server(
    kind: Input, running: Callable[..., LogServer]
) -> None:
    server = running(kind, is_bare=True)
    options = options_for(kind, server.port, facility="local7")
    longest = b'"' + b"x" * (record_limit_of(options) - 2) + b'"'
    record = batch_for("syslog", [longest]).records[0]._replace(kind="k" * 32)
    async with sink_of(options) as sink:
        await sink.send(batch_of_records(record, record))
    assert [one.record for one in server.read_understood()] == [longest, longest]


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_one_poisoned_record_among_5000_costs_no_second_request(
    kind: Input, running: Callable[..., LogServer]
) -> None:
    server = running(kind)
    lines = lines_of(5000)
    lines[3210] = b'"' + b"x" * 9000 + b'"'
    async with sink_of(options_for(kind, server.port)) as sink:
        with pytest.raises(Rejected) as rejected:
            await sink.send(batch_for("syslog", lines))
    assert (rejected.value.records, rejected.value.stored) == ((3210,), True)
    assert server.records() == lines[:3210] + lines[3211:]
    assert len(server.read_understood()) == 4999


async def test_datagrams_promise_nothing_and_streams_the_kernels_acknowledgement() -> None:
    kinds: tuple[Input | Literal["tls"], ...] = ("udp", "tcp", "tls", "relp")
    assert [promise_of(options_for(kind, 514)) for kind in kinds] == [
        "none",
        "kernel-acknowledged",
        "kernel-acknowledged",
        "at least once",
    ]


async def test_datagrams_that_the_network_reports_as_unreachable_are_retried(
    running: Callable[..., LogServer],
) -> None:
    server = running("udp")
    server.stop()
    sink = sink_of(options_for("udp", server.port))
    world = World(repair=server.start, repaired_after=1)
    async with sink:
        await sink.send(batch_for("syslog", lines_of(1)))
        # Linux's default receive buffer holds 166 of these while the server waits for a CPU.
        for at in (0, 100):
            part = batch_for("syslog", lines_of(200)[at : at + 100], batch_id=f"b{at}")
            await delivery(sink, world).send(part)
            assert server.records() == lines_of(200)[: at + 100]
    assert [error.reason for error in world.errors] == ["network"]


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        pytest.param("reset_peer", {"timeout": 0}, id="before the first frame"),
        pytest.param("limit_data", {"bytes": 100_000}, id="in the middle of a frame"),
    ],
)
async def test_a_broken_connection_is_noticed_without_any_answer(
    kind: str, attributes: dict[str, int], running: Callable[..., LogServer], toxiproxy: Toxiproxy
) -> None:
    server, lines = running("tcp"), lines_of(5000)
    with toxiproxy.before(server.port) as way:
        server.ports.add(way.port)
        async with sink_of(options_for("tcp", way.port)) as sink:
            with (
                way.fault(kind, "upstream", **attributes),
                pytest.raises(RetryLater, match="network"),
            ):
                await sink.send(batch_for("syslog", lines))
            await sink.send(batch_for("syslog", lines))
        assert server.records() == lines


async def test_a_server_that_restarted_while_idle_gets_the_next_batch_whole(
    running: Callable[..., LogServer],
) -> None:
    server = running("tcp")
    async with sink_of(options_for("tcp", server.port)) as sink:
        await sink.send(batch_for("syslog", lines_of(10), batch_id="b1"))
        server.stop()
        server.start()
        await sink.send(batch_for("syslog", lines_of(10, mark="later"), batch_id="b2"))
    assert server.records() == lines_of(10) + lines_of(10, mark="later")


async def test_bytes_that_the_servers_kernel_does_not_acknowledge_are_not_delivered() -> None:
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as listener:  # accepts connections and reads nothing
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with sink_of(
            options_for("tcp", listener.getsockname()[1], timeout=Seconds(0.5))
        ) as sink:
            with pytest.raises(RetryLater, match="timeout"):
                await asyncio.wait_for(sink.send(batch_for("syslog", lines_of(2000))), timeout=600)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize("kind", ["tcp", "relp"])
@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("unknown CA", "unable to get local issuer certificate"),
        ("wrong host", "IP address mismatch"),
        ("expired", "certificate has expired"),
    ],
)
async def test_a_server_without_a_valid_certificate_is_rejected_with_the_reason(
    kind: Input,
    case: str,
    said: str,
    authority: Authority,
    running: Callable[..., LogServer],
    tmp_path: Path,
) -> None:
    certificate = {
        "unknown CA": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "wrong host": lambda: authority.ca.issue_cert("127.0.0.2"),
        "expired": lambda: authority.ca.issue_cert(
            "127.0.0.1",
            not_before=datetime.now(UTC) - timedelta(2),
            not_after=datetime.now(UTC) - timedelta(1),
        ),
    }[case]()
    path = tmp_path / "other.pem"
    path.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    server = running(kind, ServerTls(path, authority.file), PEER)
    tls = TlsOptions(
        ca_file=str(authority.file),
        cert_file=str(authority.write_certificate(tmp_path / "client.pem", PEER)),
    )
    with pytest.raises(RetryLater, match=said) as caught:
        await sink_of(options_for(kind, server.port, tls=tls, **tls_transport(kind))).__aenter__()
    assert caught.value.reason == "tls"


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_a_required_client_certificate_is_reported_with_its_option(
    kind: Input, authority: Authority, running: Callable[..., LogServer]
) -> None:
    server = running(kind, ServerTls(authority.server, authority.file), PEER)
    sink = sink_of(
        options_for(
            kind, server.port, tls=TlsOptions(ca_file=str(authority.file)), **tls_transport(kind)
        )
    )
    with pytest.raises(RetryLater, match=r"tls\.cert_file"):
        await sink.__aenter__()


def tls_transport(kind: Input) -> dict[str, object]:
    """Return the options for TLS, which is a transport of syslog, while RELP needs only `tls`."""
    return {} if kind == "relp" else {"transport": "tls"}


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_a_hanging_handshake_ends_after_the_connect_timeout(kind: Input) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = options_for(
            kind,
            listener.getsockname()[1],
            connect_timeout=Seconds(0.3),
            tls=TlsOptions(),
            **tls_transport(kind),
        )
        with pytest.raises(RetryLater, match="timeout"):
            await asyncio.wait_for(sink_of(options).__aenter__(), timeout=600)


async def test_an_unknown_name_is_retried_and_reported() -> None:
    with pytest.raises(
        RetryLater, match=r"dns: the name of nowhere\.invalid:514 could not be resolved"
    ):
        await sink_of(options_for("tcp", 514, host="nowhere.invalid")).__aenter__()


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": ""},
        {"host": "a/b"},
        {"port": 0},
        {"hostname": "two words"},
        {"app_name": "x" * 49},
        {"sd_id": 'a"b'},
        {"max_message": Size(100)},
    ],
)
@pytest.mark.parametrize("kind", ["tcp", "relp"])
def test_options_that_are_invalid_in_a_message_are_rejected(
    kind: Input, wrong: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        msgspec.structs.replace(options_for(kind, 514), **wrong)


def test_options_of_another_transport_are_rejected() -> None:
    with pytest.raises(ValueError, match='tls is given, but transport is "tcp"'):
        options_for("tcp", 514, tls=TlsOptions())
    with pytest.raises(ValueError, match="longest datagram"):
        options_for("udp", 514, max_message=Size(65_508))
