"""Report the state of the service to systemd (sd_notify(3): datagrams to $NOTIFY_SOCKET)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class SystemdNotifier:
    """Sends states to the service manager; does nothing if there is none.

    `watchdog_seconds` is how long the service may go without `WATCHDOG=1`, None without a watchdog.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        microseconds = environ.get("WATCHDOG_USEC", "")
        self.watchdog_seconds = (
            int(microseconds) / 1e6 if microseconds.isdigit() and self._address else None
        )

    def send(self, *states: str) -> None:
        """Send states such as `READY=1`, `STATUS=…`, `WATCHDOG=1` or `STOPPING=1`."""
        if not self._address:
            return
        # systemd writes the NUL byte of an abstract address as "@"
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
            try:
                client.sendto("\n".join(states).encode(), address)
            except OSError:
                self._address = ""  # the service manager is gone
