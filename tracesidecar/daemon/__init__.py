"""The daemon: one process that follows trace files and ships them.

It runs as a service, once over what is there now, or around an agent. Importing this package loads
the pipeline, so a command imports it only when it starts the daemon.
"""

from __future__ import annotations

from tracesidecar.daemon.run import exec_command, run, ship_once

__all__ = ["exec_command", "run", "ship_once"]
