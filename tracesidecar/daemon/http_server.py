"""Serve the health pages on a TCP port or a Unix socket.

The standard library's server, in a thread of its own: prometheus-client has loaded it already, and
a web framework would cost a sixth of the memory that the idle daemon may take. It also answers when
the event loop does not, which is what /livez is for.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT_TYPES = {
    "/metrics": "text/plain; version=0.0.4; charset=utf-8",
    "/status": "application/json",
}

SOCKET_MODE = 0o600
"""Only this user, and root, may connect to a Unix socket, whatever the umask."""


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP status and a body."""

    status: int
    body: bytes


class _UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        path = str(self.server_address)
        if os.path.exists(path):
            os.unlink(path)
        # Linux creates the file with the mode of the socket, so at no moment it is open to others
        os.fchmod(self.socket.fileno(), SOCKET_MODE)
        self.socket.bind(path)
        os.chmod(path, SOCKET_MODE)
        self.server_name, self.server_port = "localhost", 0


class HealthServer:
    """Serves pages until closed; each request calls its page in a thread of its own.

    A page that raises TimeoutError or RuntimeError is answered with 503. Raises OSError if the
    address is taken.
    """

    def __init__(self, listen: str, pages: dict[str, Callable[[], Page]]) -> None:
        handler = _handler(pages)
        if listen.startswith("unix:"):
            # typeshed knows only the addresses of TCP
            self._server: ThreadingHTTPServer = _UnixServer(listen.removeprefix("unix:"), handler)  # type: ignore[arg-type]
        else:
            host, _, port = listen.rpartition(":")
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _handler(pages: dict[str, Callable[[], Page]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            page = _answer(pages, path)
            self.send_response(page.status)
            self.send_header("Content-Type", CONTENT_TYPES.get(path, "text/plain; charset=utf-8"))
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            """Log no request: probes come every few seconds."""

        def address_string(self) -> str:
            return "local"

    return Handler


def _answer(pages: dict[str, Callable[[], Page]], path: str) -> Page:
    if path not in pages:
        return Page(404, b"try /metrics, /livez, /readyz or /status\n")
    try:
        return pages[path]()
    except (TimeoutError, RuntimeError):
        # The event loop or the worker thread hangs, or has ended: the daemon stops or reloads.
        return Page(503, b"the daemon does not answer in time\n")
