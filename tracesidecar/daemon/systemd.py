"""Tell systemd how the service is (sd_notify protocol: datagrams to $NOTIFY_SOCKET)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Silent where no service manager listens."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        microseconds = environ.get("WATCHDOG_USEC", "")
        self.watchdog_seconds = (
            int(microseconds) / 1e6 if microseconds.isdigit() and self._address else None
        )

    def send(self, *states: str) -> None:
        """Send `READY=1`, `STATUS=…`, `WATCHDOG=1`, `STOPPING=1`."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
            try:
                client.sendto("\n".join(states).encode(), address)
            except OSError:
                self._address = ""  # the manager is gone: nobody is left to tell
