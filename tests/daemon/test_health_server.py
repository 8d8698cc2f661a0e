"""The health pages under clients that are slow, many, hostile or gone, and under a small limit of
tasks.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import structlog

from tests.daemon.sidecar import Sidecar, append, number_lines
from tests.servers.processes import START_SECONDS, free_port, wait_until
from tracesidecar.daemon.health import Health
from tracesidecar.daemon.http_server import MOST_CONNECTIONS, HealthServer, Page

MOST_TASKS = 64  # as in systemd/tracesidecar.service
SLOW_CLIENTS = 60
HALF = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PAGES: dict[str, Callable[[Health], Page]] = {
    "/livez": lambda _health: Page(200, b"ok\n"),
    "/metrics": lambda _health: Page(200, b"m" * (16 << 20)),
}


def answer_ready() -> Future[Health]:
    answer: Future[Health] = Future()
    answer.set_result(Health.before_start("it is starting"))
    return answer


@pytest.fixture
def few_tasks() -> Iterator[tuple[str, ...]]:
    """What starts a command that may have as many threads as the unit allows."""
    roots = [Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")]
    group = next(root / f"tracesidecar-test-{os.getpid()}" for root in roots if root.is_dir())
    try:
        group.mkdir()
        (group / "pids.max").write_text(str(MOST_TASKS))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group for processes can be made here: {error.strerror}")
    yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
    wait_until(lambda: (group / "cgroup.procs").read_text() == "")
    group.rmdir()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS)


def read_all(client: socket.socket) -> bytes:
    answer = bytearray()
    while part := client.recv(1 << 16):
        answer += part
    return bytes(answer)


def abort(client: socket.socket) -> None:
    """Close with a reset, as a client that was killed, or a scanner, does."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_with_few_tasks_and_slow_clients_livez_answers_and_delivery_goes_on(
    few_tasks: tuple[str, ...], sidecar: Sidecar
) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 100))
    sidecar.prefix = few_tasks
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    with ExitStack() as stack:
        for _ in range(SLOW_CLIENTS):
            stack.enter_context(connect(sidecar.port)).sendall(HALF)
        for _ in range(20):
            abort(connect(sidecar.port))
            gone = connect(sidecar.port)
            gone.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            abort(gone)
        assert sidecar.get("/livez") == (200, b"ok\n")
        append(sidecar.traces / "a.jsonl", number_lines(100, 100))
        sidecar.arrives(200)
        wait_until(lambda: sidecar.get("/readyz") == (200, b"ok\n"))
        assert b"tracesidecar_ready 1.0" in sidecar.get("/metrics")[1]
        assert sidecar.stop() == 0
    for line in sidecar.log.read_text().splitlines():
        assert "Traceback" not in json.loads(line)  # each line of stderr is one of the log


def exchange(port: int, request: bytes) -> bytes:
    with connect(port) as client:
        client.sendall(request)
        return read_all(client)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def is_established(port: int) -> bool:
    """Return whether the server's side of a connection is open, as the kernel sees it."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def test_a_client_that_sends_byte_by_byte_has_a_deadline_for_the_whole_request() -> None:
    port = free_port()
    with (
        closing(HealthServer(f"127.0.0.1:{port}", PAGES, answer_ready, request_seconds=0.5)),
        connect(port) as client,
    ):
        client.sendall(HALF)
        while not select.select([client], [], [], 0.02)[0]:
            client.sendall(b"x")
        assert status_of(read_all(client)) == 408


def test_a_client_that_does_not_read_its_answer_has_a_deadline_too() -> None:
    port = free_port()
    with (
        closing(HealthServer(f"127.0.0.1:{port}", PAGES, answer_ready, request_seconds=0.5)),
        connect(port) as client,
    ):
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_until(lambda: not is_established(port))
        assert len(read_all(client)) < 16 << 20


def test_whoever_is_slow_for_the_longest_time_makes_room() -> None:
    port = free_port()
    with (
        closing(
            HealthServer(f"127.0.0.1:{port}", PAGES, answer_ready, request_seconds=START_SECONDS)
        ),
        ExitStack() as stack,
    ):
        slow = [stack.enter_context(connect(port)) for _ in range(MOST_CONNECTIONS + 3)]
        assert status_of(exchange(port, LIVEZ)) == 200
        assert [read_all(client) for client in slow[:4]] == [b""] * 4
        slow[-1].sendall(LIVEZ)
        assert status_of(read_all(slow[-1])) == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9464", 200),
        ("10.42.0.7:9464", 200),
        ("[::1]", 200),
        ("[fe80::1]:9464", 200),
        ("localhost", 200),
        ("LocalHost:9464", 200),
        ("localhost.", 200),
        (socket.gethostname(), 200),
        ("metrics.example.com", 200),
        ("attacker.example", 421),
        ("attacker.example:9464", 421),
        ("localhost.attacker.example", 421),
        ("127.0.0.1.attacker.example", 421),
        ("metrics.example.com.attacker.example", 421),
        ("127.0.0.1@attacker.example", 421),
        ("attacker.example/127.0.0.1", 421),
        ("0x7f.1", 421),
        ("[localhost]", 421),
        ("", 421),
        ("localhost, attacker.example", 421),
        ("localhost\xe9", 421),
        ("localhost\r\nHost: attacker.example", 400),
    ],
)
def test_pages_answer_only_to_the_names_of_this_machine(host: str, status: int) -> None:
    port = free_port()
    allowed = ("metrics.example.com",)
    with closing(HealthServer(f"127.0.0.1:{port}", PAGES, answer_ready, allowed_hosts=allowed)):
        request = f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1")
        answer = exchange(port, request)
        assert status_of(answer) == status
        assert b"attacker" not in answer
        if status == 421:
            assert b"daemon.allowed_hosts" in answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /livez HTTP/1.0\n\n", 200),
        (b"GET /livez?x=1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        (b"GET /elsewhere HTTP/1.0\r\n\r\n", 404),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET http://attacker.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n" + b"x" * 9, 405),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"\n\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000, 431),
    ],
)
def test_whatever_is_asked_is_answered(request_bytes: bytes, status: int) -> None:
    port = free_port()
    with closing(HealthServer(f"127.0.0.1:{port}", PAGES, answer_ready)):
        assert status_of(exchange(port, request_bytes)) == status
        assert status_of(exchange(port, LIVEZ)) == 200


def test_a_head_has_no_body() -> None:
    port = free_port()
    with closing(HealthServer(f"127.0.0.1:{port}", PAGES, answer_ready)):
        head, _, body = exchange(port, LIVEZ.replace(b"GET", b"HEAD")).partition(b"\r\n\r\n")
    assert b"Content-Length: 3" in head
    assert body == b""


def test_an_event_loop_that_does_not_answer_is_said_to_all_that_wait() -> None:
    port = free_port()
    silent: Future[Health] = Future()
    with (
        closing(HealthServer(f"127.0.0.1:{port}", PAGES, lambda: silent, answer_seconds=0.5)),
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(connect(port)) for _ in range(9)]
        for client in clients:
            client.sendall(LIVEZ)
        assert {status_of(read_all(client)) for client in clients} == {503}
    assert silent.cancelled()


def test_a_page_that_fails_is_logged_and_the_others_go_on() -> None:
    def fail(_health: Health) -> Page:
        raise KeyError("[a line of a trace]")

    port = free_port()
    with (
        structlog.testing.capture_logs() as logged,
        closing(HealthServer(f"127.0.0.1:{port}", PAGES | {"/status": fail}, answer_ready)),
    ):
        assert status_of(exchange(port, LIVEZ.replace(b"livez", b"status"))) == 500
        assert status_of(exchange(port, LIVEZ)) == 200
    assert [(each["event"], each["kind"]) for each in logged] == [("health.failed", "KeyError")]
    assert "a line of a trace" not in str(logged)


def test_without_a_free_descriptor_clients_wait_and_nothing_fails() -> None:
    port = free_port()
    _, most = limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        closing(HealthServer(f"127.0.0.1:{port}", PAGES, answer_ready)),
        socket.socket() as client,
        ExitStack() as stack,
    ):
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, most))
        client.settimeout(START_SECONDS)
        client.connect(("127.0.0.1", port))
        client.sendall(LIVEZ)
        assert not select.select([client], [], [], 0.2)[0]
        stack.close()
        assert status_of(read_all(client)) == 200


def test_a_unix_socket_that_nobody_listens_on_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "health.sock"
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
    with closing(HealthServer(f"unix:{path}", PAGES, answer_ready)):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(START_SECONDS)
            client.connect(str(path))
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert status_of(read_all(client)) == 200
        with pytest.raises(OSError, match="Address already in use"):
            HealthServer(f"unix:{path}", PAGES, answer_ready)
    path.unlink()
    path.write_text("a file of somebody")
    with pytest.raises(OSError, match="a file that is not a socket is there"):
        HealthServer(f"unix:{path}", PAGES, answer_ready)
    assert path.read_text() == "a file of somebody"


@pytest.mark.skipif(
    not Path("/proc/net/if_inet6").exists() or not socket.has_ipv6,
    reason="this machine has no IPv6",
)
@pytest.mark.parametrize("host", ["[::1]", "[::]"])
def test_the_pages_answer_on_ipv6(host: str) -> None:
    port = free_port()
    with (
        closing(HealthServer(f"{host}:{port}", PAGES, answer_ready)),
        socket.create_connection(("::1", port), timeout=START_SECONDS) as client,
    ):
        client.sendall(LIVEZ)
        assert status_of(read_all(client)) == 200
