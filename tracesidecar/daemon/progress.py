"""A live line of progress on a terminal, which log lines do not break."""

from __future__ import annotations

import asyncio
import os
from typing import Protocol

from tracesidecar.daemon.health import HealthMonitor
from tracesidecar.logs import LogStream
from tracesidecar.metrics import Metrics
from tracesidecar.units import format_bytes

CLEAR = "\r\x1b[2K"


class Terminal(LogStream, Protocol):
    """Where the line is drawn."""

    def fileno(self) -> int:
        """Return the descriptor; raise OSError if there is none."""
        ...


class ProgressLine:
    """A text stream that keeps one more line below everything that is written to it."""

    def __init__(self, stream: Terminal) -> None:
        self._stream = stream
        self._line = ""

    def show(self, line: str) -> None:
        """Replace the line."""
        self._line = line[: _columns(self._stream) - 1]  # a line that wraps could not be cleared
        self._stream.write(CLEAR + self._line)
        self._stream.flush()

    def write(self, text: str) -> int:
        """Write above the line."""
        self._stream.write(
            (CLEAR if self._line else "") + text + (self._line if text.endswith("\n") else "")
        )
        return len(text)

    def flush(self) -> None:
        """Flush the stream below."""
        self._stream.flush()

    def finish(self) -> None:
        """Leave the last line on the screen, and begin a new one."""
        if self._line:
            self._stream.write("\n")
            self._line = ""
            self._stream.flush()


async def show_progress(line: ProgressLine, monitor: HealthMonitor, metrics: Metrics) -> None:
    """Update the line once a second, until cancelled."""
    while True:
        health = await monitor.check_health()
        lag = max((sink.lag_bytes for sink in health.sinks), default=0)
        trouble = next(
            (f" · {sink.name}: {sink.trouble}" for sink in health.sinks if sink.trouble), ""
        )
        parts = (
            f"{health.files:,} {'file' if health.files == 1 else 'files'}",
            f"{_total(metrics, 'delivered_lines_total'):,} lines delivered",
            f"{_total(metrics, 'redactions_total'):,} secrets redacted",
            f"{_total(metrics, 'quarantined_lines_total'):,} quarantined",
            f"{format_bytes(lag)} to go{trouble}",
        )
        line.show(" · ".join(parts))
        await asyncio.sleep(1.0)


def _columns(stream: Terminal) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def _total(metrics: Metrics, name: str) -> int:
    return int(
        sum(
            sample.value
            for family in metrics.registry.collect()
            for sample in family.samples
            if sample.name == f"tracesidecar_{name}"
        )
    )
