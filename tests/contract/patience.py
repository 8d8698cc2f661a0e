"""How long a sink under test waits for its server.

A time-out that no test waits for only ends a hang. On a busy machine a healthy server may be silent
for seconds, so it is generous.
"""

from __future__ import annotations

from tracesidecar.units import Seconds

PATIENT = {"timeout": Seconds(60), "connect_timeout": Seconds(60)}
"""For what a healthy server is sent."""

IMPATIENT = {"timeout": Seconds(3), "connect_timeout": Seconds(2)}
"""For a server that is away or silent: the test waits that long. A healthy one may be too slow for
it, so send through `delivery`, which tries again.
"""
