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

from tracesidecar.encode.lake_layout import RecordFormat
from tracesidecar.errors import RetryLater, SinkStopped
from tracesidecar.model import Batch, Compression, Payload
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.sink import SinkType

STDOUT = 1
_POLL_MILLISECONDS = 100
_GONE = frozenset({errno.EPIPE, errno.EBADF, errno.ENXIO, errno.ECONNRESET})


class Options(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A `[[sink]]` of type `stdout`: never compressed."""

    format: RecordFormat = "raw"
    compression: Compression = "none"

    def __post_init__(self) -> None:
        if self.compression != "none":
            raise ValueError(
                f'compression "{self.compression}" is not for stdout: people and pipes read it; remove the key'
            )


def build(options: Options) -> StdoutSink:  # noqa: ARG001
    """Make the sink."""
    return StdoutSink()


def destination(options: Options) -> str:  # noqa: ARG001
    """Name the destination: there is one."""
    return "stdout"


class StdoutSink:
    """Writes whole batches. A batch that was cut off is continued where it stopped when it is sent
    again.

    The descriptor is shared with whoever started us, so it is not made non-blocking. A slice of
    PIPE_BUF bytes does not block once poll has found room, and so a stuck reader never holds a
    thread for longer than one poll.
    """

    def __init__(self, descriptor: int = STDOUT) -> None:
        self._descriptor = descriptor
        self._turn = threading.Lock()
        self._unfinished = b""
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
        """A descriptor that was closed at our start may be another file by now: the interpreter has
        looked before.
        """
        if self._descriptor == STDOUT and sys.__stdout__ is None:
            return False
        try:
            os.fstat(self._descriptor)
        except OSError:
            return False
        return True

    async def send(self, batch: Batch) -> None:
        """Write the lines; returning means that the kernel has them."""
        cancelled = threading.Event()
        try:
            for payload in batch.objects:
                await asyncio.to_thread(self._write, payload, cancelled)
        except OSError as error:
            if error.errno in _GONE:
                raise SinkStopped(
                    "closed", "the reader of standard output has gone; start both again"
                ) from error
            raise RetryLater(
                "io", f"could not write to standard output: {error.strerror}"
            ) from error
        finally:
            cancelled.set()

    def _write(self, payload: Payload, cancelled: threading.Event) -> None:
        with self._turn:
            if self._unfinished != payload.sha256:
                self._unfinished, self._written = payload.sha256, 0
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
            self._unfinished = b""

    def _write_slice(self, piece: memoryview) -> int:
        try:
            return os.write(self._descriptor, piece)
        except BlockingIOError:
            return 0  # another writer of the same pipe was faster


SINK_TYPE = SinkType(
    name="stdout",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="body",
    promise="none",
)
