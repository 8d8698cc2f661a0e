"""Logging: a console on a terminal, JSON lines otherwise, always on stderr.

No event holds trace content or a credential.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol, TextIO, cast

import structlog
from structlog.typing import Processor

from tracesidecar.masking import mask_log_event


class LogStream(Protocol):
    """Where log lines go."""

    def write(self, text: str, /) -> int:
        """Write the text and return its length."""
        ...

    def flush(self) -> None:
        """Pass on what is buffered."""
        ...


PIECE_BYTES = 4096
"""A pipe that polls as writable takes so much without blocking (PIPE_BUF of Linux, pipe(7))."""
PATIENCE_SECONDS = 1.0
"""How long a reader that is slow may hold up a line. After a line that was dropped, no later one
waits until the reader goes on.
"""


class LogOutput:
    """Writes text for people to a stream. It never fails, and never waits for long.

    What reads a log may die (a pipe without a reader), stand still (a full pipe) or have no room (a
    full disk), and none of this may stop what ships well. Text that cannot be written is dropped;
    once something can be written again, `log.lines_dropped` says how much. Any thread may call.
    """

    def __init__(
        self, stream: TextIO | None, describe_dropped: Callable[[int], str] | None = None
    ) -> None:
        """Write to the stream's descriptor, or to the stream if it has none; None: nowhere.

        `describe_dropped` returns the line that says how many writes were dropped.
        """
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._describe_dropped = describe_dropped
        self._lock = threading.Lock()
        self._dropped = 0
        self._is_torn = False

    def write(self, text: str, /) -> int:
        """Write the text or drop it; return its length."""
        with self._lock:
            try:
                if self._dropped and self._describe_dropped is not None:
                    self._write(self._describe_dropped(self._dropped))
                    self._dropped = 0
                self._write(text)
            except (OSError, ValueError):  # ValueError: the stream is closed
                self._dropped += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: all is written at once."""

    def fileno(self) -> int:
        """Return the descriptor; raise OSError if there is none."""
        if self._descriptor is None:
            raise OSError(errno.EBADF, "this stream has no descriptor")
        return self._descriptor

    def _write(self, text: str) -> None:
        if self._descriptor is None:
            if self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
            return
        data = ("\n" if self._is_torn else "") + text
        rest = memoryview(data.encode("utf-8", "backslashreplace"))
        while rest:
            if not self._is_writable(0.0 if self._dropped else PATIENCE_SECONDS):
                raise BlockingIOError(errno.EAGAIN, "the reader does not read")
            rest = rest[os.write(self._descriptor, rest[:PIECE_BYTES]) :]
            self._is_torn = bool(rest)

    def _is_writable(self, seconds: float) -> bool:
        if self._descriptor is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return any(
            events & (select.POLLOUT | select.POLLERR) for _, events in poll.poll(seconds * 1000)
        )


def _descriptor(stream: TextIO | None) -> int | None:
    if stream is None:
        return None
    with suppress(OSError, ValueError):  # a stream in memory, or a closed one
        return stream.fileno()
    return None


def is_terminal() -> bool:
    """Return whether a person sees the standard error stream."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or closed before the start
        return sys.stderr.isatty()
    return False


def configure(stream: LogStream | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Set structlog up from LOG_LEVEL (debug, info, warning, error) and LOG_FORMAT (console, json).

    It writes to stderr unless another stream is given.
    """
    level = logging.getLevelNamesMapping().get(
        environ.get("LOG_LEVEL", "info").upper(), logging.INFO
    )
    wanted = environ.get("LOG_FORMAT") or ("console" if is_terminal() else "json")
    last: Processor
    if wanted == "console":
        colours = is_terminal() and "NO_COLOR" not in environ
        last = structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback
        )
    else:
        last = structlog.processors.JSONRenderer()
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)

    def describe_dropped(count: int) -> str:
        event = {"event": "log.lines_dropped", "level": "warning", "writes": count}
        return str(last(None, "warning", stamp(None, "warning", event))) + "\n"

    if stream is None:
        stream = LogOutput(sys.stderr, describe_dropped)
    structlog.configure(
        processors=[mask_log_event, structlog.processors.add_log_level, stamp, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", stream)),
        cache_logger_on_first_use=False,
    )


def frames(error: BaseException) -> list[str]:
    """Where an unexpected error came from: file, line and function of each frame.

    Never its message, which may quote what was read.
    """
    inner = (
        [frame for part in error.exceptions for frame in frames(part)]
        if isinstance(error, BaseExceptionGroup)
        else []
    )
    return inner + [
        f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
