"""Signals that come before the service can handle them: they wait, and are handled then.

By default they would end the process: SIGHUP for good, because systemd takes that for a clean end.
"""

from __future__ import annotations

import signal

_HELD = (signal.SIGTERM, signal.SIGHUP)


def hold_signals() -> None:
    """Let them wait until `release_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)


def release_signals() -> None:
    """Handle what waits, from now on at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
