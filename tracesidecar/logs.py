"""Logging: a console on a terminal, JSON lines otherwise, always on stderr.

No event holds trace content or a credential.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol, TextIO, cast

import structlog
from structlog.typing import Processor


class LogStream(Protocol):
    """Where log lines go."""

    def write(self, text: str, /) -> int:
        """Write the text and return its length."""
        ...

    def flush(self) -> None:
        """Pass on what is buffered."""
        ...


def configure(stream: LogStream | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Set structlog up from LOG_LEVEL (debug, info, warning, error) and LOG_FORMAT (console, json).

    It writes to stderr unless another stream is given.
    """
    level = logging.getLevelNamesMapping().get(
        environ.get("LOG_LEVEL", "info").upper(), logging.INFO
    )
    wanted = environ.get("LOG_FORMAT") or ("console" if sys.stderr.isatty() else "json")
    last: Processor
    if wanted == "console":
        colours = sys.stderr.isatty() and "NO_COLOR" not in environ
        last = structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback
        )
    else:
        last = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", stream or sys.stderr)),
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


_TOKEN_IN_NAME = re.compile(
    r"(?:sk-|[sr]k_(?:live|test)_|gh[pousr]_|github_pat_|gl(?:pat|rt|dt|ptt)-|xox[a-e]-|xox[oprs]-|A[KS]IA|AIza|ya29\.|hf_|npm_|pypi-|do[opr]_v1_|eyJ"
    r"|gsk_|hv[sb]\.|shp(?:at|ss|ca|pa)_|SG\.|whsec_|AGE-SECRET-KEY-)[A-Za-z0-9_.+=-]{12,}"
    r"|(?i:(?<=password=)|(?<=passwd=)|(?<=secret=)|(?<=token=)|(?<=api_key=)|(?<=apikey=))[^/\s&]{4,}|(?<=://)[^/@\s]{1,256}(?=@)"
)


@lru_cache(maxsize=1024)  # a list of rejected lines shows the same few paths very often
def printable(path: str) -> str:
    """Return a path as text that may be shown.

    Bytes that are not UTF-8 and control characters are escaped; anything that begins like a
    well-known token is redacted.
    """
    text = _TOKEN_IN_NAME.sub(
        "[REDACTED:name]", os.fsencode(path).decode("utf-8", "backslashreplace")
    )
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
