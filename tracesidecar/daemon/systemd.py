"""Report the state of the service to systemd (sd_notify(3): datagrams to $NOTIFY_SOCKET)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class SystemdNotifier:
    """Sends states to the service manager; does nothing if there is none.

    `watchdog_seconds` is how long the service may go without `WATCHDOG=1`, None without a watchdog.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        microseconds = environ.get("WATCHDOG_USEC", "")
        self.watchdog_seconds = (
            int(microseconds) / 1e6 if microseconds.isdigit() and self._address else None
        )

    def send(self, *states: str) -> None:
        """Send states such as `READY=1`, `STATUS=…`, `WATCHDOG=1` or `STOPPING=1`.

        What cannot be sent is dropped; what is sent regularly is tried again.
        """
        if not self._address:
            return
        # systemd writes the NUL byte of an abstract address as "@"
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # OSError: no descriptor is left, or the service manager is not there just now
        with suppress(OSError):
            if self._socket is None:  # kept: a process without descriptors has to ping, too
                self._socket = socket.socket(
                    socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
                )
            self._socket.sendto("\n".join(states).encode(), address)
