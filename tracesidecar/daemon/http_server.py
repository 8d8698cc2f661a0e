"""Serve the health pages on a TCP port or a Unix socket.

One thread does it, with sockets that never block: however many clients there are, and however slow,
they cost this process no further thread, and no client waits for another. It also answers when the
event loop does not, which is what /livez is for.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import stat
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus

import structlog

from tracesidecar.daemon.health import Health
from tracesidecar.daemon.http_request import (
    AllowedHosts,
    Request,
    RequestError,
    find_head,
    parse_request,
)
from tracesidecar.logs import frames

log = structlog.get_logger()

REQUEST_SECONDS = 10.0
"""How long a client may take from the connection to the last byte of the answer."""

ANSWER_SECONDS = 5.0
"""How long the event loop may take to say how the service is."""

LINGER_SECONDS = 1.0
"""How long what a client still sends is taken after the answer: a connection that is closed with
something unread in it is reset, and the client may lose the answer.
"""

PAUSE_SECONDS = 1.0
"""How long nobody is let in after the process had no descriptor left."""

MOST_CONNECTIONS = 64
"""Beyond that, whoever has been slow for the longest time makes room."""

RECEIVE_BYTES = 16 << 10

SOCKET_MODE = 0o600
"""Only this user, and root, may connect to a Unix socket, whatever the umask."""

CONTENT_TYPES = {
    "/metrics": "text/plain; version=0.0.4; charset=utf-8",
    "/status": "application/json",
}


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP status and a body."""

    status: int
    body: bytes


NO_ANSWER = Page(503, b"the daemon does not answer in time\n")


class _Phase(Enum):
    READING = auto()
    WAITING = auto()
    WRITING = auto()
    LINGERING = auto()


class _Connection:
    """One client, from its first byte to its last. `deadline` is when it is given up."""

    def __init__(self, client: socket.socket, deadline: float) -> None:
        self.client = client
        self.deadline = deadline
        self.phase = _Phase.READING
        self.received = bytearray()
        self.request = Request("")
        self.unsent = memoryview(b"")


class HealthServer:
    """Serves pages from a thread of its own until closed.

    A page is made of the health of the service, for which `ask` starts a question; one answer
    serves all that wait for it. A question without an answer is answered to the clients with 503.
    Raise OSError if the address is taken, and RuntimeError if there can be no further thread.
    """

    def __init__(
        self,
        listen: str,
        pages: Mapping[str, Callable[[Health], Page]],
        ask: Callable[[], Future[Health]],
        *,
        allowed_hosts: Collection[str] = (),
        request_seconds: float = REQUEST_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._pages = pages
        self._ask = ask
        self._request_seconds, self._answer_seconds = request_seconds, answer_seconds
        self._allowed = (
            None
            if listen.startswith("unix:")
            else AllowedHosts(listen.rpartition(":")[0].strip("[]"), allowed_hosts)
        )
        self._connections: dict[int, _Connection] = {}
        self._pending_answer: Future[Health] | None = None
        self._ask_deadline = 0.0
        self._accepts_from = 0.0
        self._is_closing = False
        self._listener = _listen(listen)
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        for each in (self._woken, self._waker, self._listener):
            each.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="health", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._release()
            raise

    def close(self) -> None:
        """Stop answering."""
        self._is_closing = True
        self._wake()
        self._thread.join()

    # In the thread:

    def _serve(self) -> None:
        try:
            while not self._is_closing:
                for key, _ in self._selector.select(self._seconds_to_wait()):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._woken:
                        with suppress(BlockingIOError):
                            self._woken.recv(RECEIVE_BYTES)
                    elif (connection := self._connections.get(key.fd)) is not None:
                        self._proceed_safely(connection)
                self._answer_waiting()
                self._drop_overdue()
        finally:
            self._release()

    def _release(self) -> None:
        for connection in tuple(self._connections.values()):
            self._drop(connection)
        self._selector.close()
        for each in (self._listener, self._woken, self._waker):
            each.close()

    def _seconds_to_wait(self) -> float | None:
        """Return for how long to wait for a socket, None if nothing else is to be done."""
        times = [
            connection.deadline
            for connection in self._connections.values()
            if connection.phase is not _Phase.WAITING
        ]
        if self._pending_answer is not None:
            times.append(self._ask_deadline)
        if self._accepts_from:
            times.append(self._accepts_from)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # the client has gone already
            return
        except OSError:  # the process has no descriptor left, for a while
            self._selector.unregister(self._listener)
            self._accepts_from = time.monotonic() + PAUSE_SECONDS
            return
        client.setblocking(False)
        if len(self._connections) >= MOST_CONNECTIONS and not self._make_room():
            client.close()
            return
        connection = _Connection(client, time.monotonic() + self._request_seconds)
        self._connections[client.fileno()] = connection
        self._selector.register(client, selectors.EVENT_READ)

    def _make_room(self) -> bool:
        """Drop the client that has been slow for the longest time; False if none is slow."""
        slow = (each for each in self._connections.values() if each.phase is not _Phase.WAITING)
        if (slowest := next(slow, None)) is not None:
            self._drop(slowest)
        return slowest is not None

    def _proceed_safely(self, connection: _Connection) -> None:
        try:
            self._proceed(connection)
        except Exception as error:  # noqa: BLE001 - a bug that one client meets must not end the pages
            log.error("health.failed", kind=type(error).__name__, where=frames(error))
            self._drop(connection)

    def _proceed(self, connection: _Connection) -> None:
        try:
            if connection.phase is _Phase.WRITING:
                self._write(connection)
            elif received := connection.client.recv(RECEIVE_BYTES):
                if connection.phase is _Phase.READING:
                    self._read(connection, received)
            else:
                self._drop(connection)
        except BlockingIOError:
            return
        except OSError:  # the client has gone
            self._drop(connection)

    def _read(self, connection: _Connection, received: bytes) -> None:
        connection.received += received
        try:
            if (head := find_head(connection.received)) is None:
                return
            connection.request = parse_request(head, self._allowed)
        except RequestError as error:
            self._respond(connection, Page(error.status, f"{error.reason}\n".encode()))
            return
        if connection.request.path not in self._pages:
            self._respond(connection, Page(404, b"try /metrics, /livez, /readyz or /status\n"))
            return
        connection.phase = _Phase.WAITING
        self._selector.unregister(connection.client)
        if self._pending_answer is None:
            self._ask_deadline = time.monotonic() + self._answer_seconds
            try:
                self._pending_answer = self._ask()
            except RuntimeError:  # the event loop has ended
                self._respond(connection, NO_ANSWER)
            else:
                self._pending_answer.add_done_callback(lambda _answer: self._wake())

    def _answer_waiting(self) -> None:
        """Answer all that wait, if the event loop has answered or its time is over."""
        if (pending := self._pending_answer) is None:
            return
        if not pending.done() and time.monotonic() < self._ask_deadline:
            return
        health = _result(pending)
        self._pending_answer = None
        made: dict[str, Page] = {}
        for connection in tuple(self._connections.values()):
            if connection.phase is _Phase.WAITING:
                path = connection.request.path
                if path not in made:
                    made[path] = NO_ANSWER if health is None else self._make(path, health)
                self._respond(connection, made[path])

    def _make(self, path: str, health: Health) -> Page:
        try:
            return self._pages[path](health)
        except Exception as error:  # noqa: BLE001 - what goes wrong here must not end the other pages
            log.error("health.failed", page=path, kind=type(error).__name__, where=frames(error))
            return Page(500, b"the page cannot be made: see the log of the daemon\n")

    def _respond(self, connection: _Connection, page: Page) -> None:
        """Begin to send an answer. A client that has been dropped gets none."""
        request = connection.request
        head = (
            f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\n"
            f"Content-Type: {CONTENT_TYPES.get(request.path, 'text/plain; charset=utf-8')}\r\n"
            f"Content-Length: {len(page.body)}\r\n"
            "Cache-Control: no-store\r\n"
            "Connection: close\r\n\r\n"
        ).encode()
        connection.unsent = memoryview(head + page.body if request.has_body else head)
        connection.phase = _Phase.WRITING
        self._watch(connection, selectors.EVENT_WRITE)
        self._proceed(connection)

    def _write(self, connection: _Connection) -> None:
        connection.unsent = connection.unsent[connection.client.send(connection.unsent) :]
        if not connection.unsent:
            connection.client.shutdown(socket.SHUT_WR)
            connection.phase = _Phase.LINGERING
            connection.deadline = time.monotonic() + LINGER_SECONDS
            self._watch(connection, selectors.EVENT_READ)

    def _drop_overdue(self) -> None:
        """Give up who is too slow, and let clients in again after a pause."""
        now = time.monotonic()
        for connection in tuple(self._connections.values()):
            if connection.phase is _Phase.WAITING or connection.deadline > now:
                continue
            if connection.phase is _Phase.READING:
                seconds = f"{self._request_seconds:g}"
                reason = f"the request was not complete within {seconds} s\n"
                self._respond(connection, Page(408, reason.encode()))
            if connection.phase is not _Phase.LINGERING or connection.deadline <= now:
                self._drop(connection)
        if self._accepts_from and self._accepts_from <= now:
            self._accepts_from = 0.0
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _drop(self, connection: _Connection) -> None:
        if self._connections.pop(connection.client.fileno(), None) is not None:
            if connection.client.fileno() in self._selector.get_map():
                self._selector.unregister(connection.client)
            connection.client.close()

    def _watch(self, connection: _Connection, events: int) -> None:
        if connection.client.fileno() in self._selector.get_map():
            self._selector.modify(connection.client, events)
        else:
            self._selector.register(connection.client, events)

    # In any thread:

    def _wake(self) -> None:
        with suppress(OSError):  # it has been woken already, or has ended
            self._waker.send(b"\0")


def _result(asked: Future[Health]) -> Health | None:
    """Return an answer, None if there is none; nobody waits for it any more."""
    if not asked.done():
        asked.cancel()
        return None
    try:
        return asked.result()
    except (CancelledError, TimeoutError, RuntimeError):
        # The event loop or the worker thread hangs, or has ended: the daemon stops or reloads.
        return None
    except Exception as error:  # noqa: BLE001 - a bug there must not end the pages
        log.error("health.failed", kind=type(error).__name__, where=frames(error))
        return None


def _listen(listen: str) -> socket.socket:
    if listen.startswith("unix:"):
        return _listen_on_path(listen.removeprefix("unix:"))
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        if ":" not in host:
            return socket.create_server((host, int(port)))
        is_any = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(
            (host, int(port)), family=socket.AF_INET6, dualstack_ipv6=is_any
        )
    except UnicodeError as error:  # a name that no DNS can have
        raise OSError(errno.EADDRNOTAVAIL, "not the name of a host") from error


def _listen_on_path(path: str) -> socket.socket:
    """Listen on a Unix socket; one that nobody listens on any more is replaced."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_abandoned(path)
        # Linux creates the file with the mode of the socket, so at no moment it is open to others
        os.fchmod(server.fileno(), SOCKET_MODE)
        server.bind(path)
        os.chmod(path, SOCKET_MODE)
        server.listen()
    except OSError:
        server.close()
        raise
    return server


def _remove_abandoned(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is not a socket is there", path)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except BlockingIOError as error:  # so many wait for that process already
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from error
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
