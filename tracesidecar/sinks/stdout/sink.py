"""The stdout sink: one record a line, uncompressed, to file descriptor 1."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import sys
import threading
from types import TracebackType
from typing import Self

from tracesidecar.errors import RetryLater, SinkStopped
from tracesidecar.model import Batch, Payload
from tracesidecar.sinks.sink import SinkType
from tracesidecar.sinks.stdout.options import Options

__all__ = ["SINK_TYPE", "Options", "build"]

STDOUT = 1
_POLL_MILLISECONDS = 100
_GONE = frozenset({errno.EPIPE, errno.EBADF, errno.ENXIO, errno.ECONNRESET})


def build(_options: Options) -> StdoutSink:
    """Make the sink."""
    return StdoutSink()


def destination(_options: Options) -> str:
    """Name the destination: there is one."""
    return "stdout"


class StdoutSink:
    """Writes whole batches.

    A batch that was interrupted continues where it stopped when it is sent again.

    The descriptor is shared with the process that started this one, so it stays blocking. Once poll
    has found room, a slice of PIPE_BUF bytes does not block: a reader that is stuck never holds a
    thread for longer than one poll.
    """

    def __init__(self, descriptor: int = STDOUT) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._interrupted = b""
        self._written = 0

    async def __aenter__(self) -> Self:
        if not self._is_open():
            raise SinkStopped(
                "closed",
                "standard output is closed; start tracesidecar with it open, or remove this sink",
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def _is_open(self) -> bool:
        """Return whether standard output was open at the start and still is.

        If it was closed at the start, its number may be another file by now: only the interpreter,
        which looked earlier, knows.
        """
        if self._descriptor == STDOUT and sys.__stdout__ is None:
            return False
        try:
            os.fstat(self._descriptor)
        except OSError:
            return False
        return True

    async def send(self, batch: Batch) -> None:
        """Write the lines; return when the kernel has them."""
        cancelled = threading.Event()
        try:
            for payload in batch.objects:
                await asyncio.to_thread(self._write, payload, cancelled)
        except OSError as error:
            if error.errno in _GONE:
                raise SinkStopped(
                    "closed",
                    "the reader of standard output has ended; start both processes again",
                ) from error
            raise RetryLater(
                "io",
                f"could not write to standard output: {error.strerror}; "
                "check the file or program that it goes to",
            ) from error
        finally:
            cancelled.set()

    def _write(self, payload: Payload, cancelled: threading.Event) -> None:
        with self._lock:
            if self._interrupted != payload.sha256:
                self._interrupted, self._written = payload.sha256, 0
            content = memoryview(payload.content)
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            while self._written < len(content):
                if cancelled.is_set():
                    return
                if poll.poll(_POLL_MILLISECONDS):
                    self._written += self._write_slice(
                        content[self._written : self._written + select.PIPE_BUF]
                    )
            self._interrupted = b""

    def _write_slice(self, piece: memoryview) -> int:
        try:
            return os.write(self._descriptor, piece)
        except BlockingIOError:
            return 0  # another writer to the same pipe was faster


SINK_TYPE = SinkType(
    name="stdout",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="body",
    promise="none",
)
