"""The Unix socket in the state directory, over which the running daemon reports its status.

Each client that connects is sent one StatusReport as JSON, or a ReportFailure, and the connection
ends. The socket has mode 0600 in a directory of mode 0700: only the user of the daemon, and root,
can connect.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import msgspec

from tracesidecar.directories import open_trusted_directory
from tracesidecar.introspect.status import StatusReport

SOCKET_NAME = "status.sock"
_MODE = 0o600
_DESCRIPTORS = "/proc/self/fd"
ANSWER_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 << 20
MAX_ADDRESS_BYTES = 103
"""The address of a Unix socket has 108 bytes on Linux and 104 elsewhere, with the NUL byte."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why the daemon could not be asked. `reason` is empty if no process listens at the socket."""

    reason: str = ""


class ReportFailure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer of a daemon that has failed to report: the kind of the error that it logged."""

    failed: str


def listen(state_directory: str) -> socket.socket:
    """Open the socket; only the process that holds the state directory may call this.

    A socket that a killed daemon left behind is replaced, and so is a link. Raise OSError if there
    is something else, the file system has no sockets, or the path is too long for this operating
    system.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # Linux creates the file with the mode of the socket, so at no moment it is open to others
        os.fchmod(server.fileno(), _MODE)
        folder = open_trusted_directory(state_directory)
        try:
            _remove(folder)
            with _address(state_directory, folder) as address:
                server.bind(address)
                if stat.S_IMODE(os.lstat(address).st_mode) != _MODE:  # not Linux
                    os.chmod(address, _MODE)
        finally:
            os.close(folder)
        server.listen()
        server.setblocking(False)
    except OSError:
        server.close()
        raise
    return server


def identify(state_directory: str) -> tuple[int, int]:
    """Return device and inode of the socket's file."""
    status = os.lstat(os.path.join(state_directory, SOCKET_NAME))
    return status.st_dev, status.st_ino


def is_missing(state_directory: str) -> bool:
    """Return whether nothing has the socket's name, in a directory that is there."""
    path = os.path.join(state_directory, SOCKET_NAME)
    return os.path.isdir(state_directory) and not os.path.lexists(path)


def remove(state_directory: str, *, only: tuple[int, int] | None) -> None:
    """Remove the socket's file if it is there, and if `only` is given, only that very socket.

    A state directory may be moved while its daemon runs, and another daemon may make a new one in
    its place: that one's socket must stay.
    """
    folder = open_trusted_directory(state_directory)
    try:
        _remove(folder, only)
    finally:
        os.close(folder)


def _remove(folder: int, only: tuple[int, int] | None = None) -> None:
    """Remove a socket or link from an open directory; if `only` is given, that very one."""
    with suppress(FileNotFoundError):
        status = os.lstat(SOCKET_NAME, dir_fd=folder)
        is_ours = stat.S_ISSOCK(status.st_mode) or stat.S_ISLNK(status.st_mode)
        if is_ours and only in (None, (status.st_dev, status.st_ino)):  # else a person's file
            os.unlink(SOCKET_NAME, dir_fd=folder)


def encode_answer(answer: StatusReport | ReportFailure) -> bytes:
    r"""Return the bytes that are sent.

    Bytes of a path that are not UTF-8 are escaped (`"\udcff"`), as `status --json` prints them.
    """
    return json.dumps(msgspec.to_builtins(answer)).encode("ascii")


def request_status(
    state_directory: str, *, seconds: float = ANSWER_SECONDS
) -> StatusReport | NoAnswer:
    """Ask the daemon that uses a state directory; wait no longer than some seconds."""
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
        try:
            client.settimeout(seconds)
            with _address(state_directory) as address:
                client.connect(address)
            answer = _read(client, deadline)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            # the last: the socket of a daemon that was killed is still there
            return NoAnswer()
        except PermissionError:
            return NoAnswer("only the user of the daemon, and root, may ask it")
        except (TimeoutError, BlockingIOError):
            # the last: so many wait already that the kernel does not let us queue up
            return NoAnswer(f"the daemon did not answer within {seconds:g} s")
        except OSError as error:
            return NoAnswer(f"the daemon could not be asked: {error.strerror or error}")
    if not answer:
        return NoAnswer("the daemon ended the connection: it is stopping, or reloading")
    try:
        document = json.loads(answer)
        if isinstance(document, dict) and "failed" in document:
            kind = msgspec.convert(document, ReportFailure).failed
            return NoAnswer(f"the daemon failed to report its status ({kind}): see its log")
        return msgspec.convert(document, StatusReport)
    except (ValueError, msgspec.ValidationError):
        return NoAnswer(
            "the daemon is of another version and its answer is not understood: restart it"
        )


def _read(client: socket.socket, deadline: float) -> bytes:
    answer = bytearray()
    while len(answer) <= MAX_ANSWER_BYTES:
        client.settimeout(max(deadline - time.monotonic(), 0.001))
        if not (part := client.recv(1 << 16)):
            return bytes(answer)
        answer += part
    return bytes(answer)


@contextmanager
def _address(state_directory: str, folder: int | None = None) -> Iterator[str]:
    """Yield a path of the socket that fits into an address, in `folder` if that is given.

    A state directory may have a longer path than the address of a Unix socket holds. Linux has a
    short name for it, which also is that of the very directory: through its descriptor in /proc.
    """
    path = os.path.join(state_directory, SOCKET_NAME)
    is_short = len(os.fsencode(path)) <= MAX_ADDRESS_BYTES
    if is_short and (folder is None or not os.path.isdir(_DESCRIPTORS)):
        yield path
        return
    directory = os.open(
        state_directory if folder is None else ".",
        os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC,
        dir_fd=folder,
    )
    try:
        yield f"{_DESCRIPTORS}/{directory}/{SOCKET_NAME}"
    finally:
        os.close(directory)
