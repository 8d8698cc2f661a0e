"""Nothing that an agent can write makes the process outgrow the memory of its container."""

from __future__ import annotations

import pytest

from tests.daemon.sidecar import LAKE, Sidecar
from tests.hygiene.test_deployment import size

CONTAINER_BYTES = size("256Mi")
LINE_BYTES = 8 << 20
"""`max_line` of the Kubernetes manifest."""

MEMBERS = (
    b'{"type":"assistant","uuid":"u","parentUuid":null,"isSidechain":false,"userType":"external",'
    b'"cwd":"/x","version":"2.0.1","sessionId":"s","timestamp":"2026-11-30T00:00:00.000Z",'
    b'"password":"%b","message":{"role":"assistant","content":[%b]}}\n'
)


def fill_line(item: bytes, size_bytes: int = LINE_BYTES) -> bytes:
    """A line of an agent whose message has one item over and over, and a secret beside it."""
    count = (size_bytes - 2 * len(MEMBERS)) // (len(item) + 1)
    return MEMBERS % (b"hunter2hunter2", b",".join([item] * count))


HOSTILE = {
    "empty objects": fill_line(b"{}"),
    "objects": fill_line(b'{"a":1}'),
    "words": fill_line(b'"a"'),
    "tool calls": fill_line(b'{"type":"tool_use","id":"t","name":"B","input":{}}'),
    "few enough tool calls": fill_line(
        b'{"type":"tool_use","id":"t","name":"B","input":{}}', 2_500_000
    ),
    "secrets": fill_line(b'{"password":"x1y2z3w4q"}'),
    "few enough secrets": fill_line(b'{"password":"x1y2z3w4q"}', 3 << 20),
    "tool calls of a line with a long directory": fill_line(
        b'{"type":"tool_use","id":"t","name":"B","input":{}}', 1 << 20
    ).replace(b'"/x"', b'"/%b"' % (b"x" * 400_000)),
    "what is carried from line to line": b'{"timestamp":"2026-01-01T00:00:00.000Z",'
    b'"type":"session_meta","payload":{"id":"%b","cwd":"%b","git":{"branch":"%b"}}}\n'
    % (b"i" * 400_000, b"c" * 400_000, b"b" * 400_000)
    + b'{"timestamp":"2026-01-01T00:00:00.000Z","type":"event_msg","payload":{"type":"x"}}\n'
    * 20_000,
    "what many records of a line share": b'{"resourceSpans":[{"resource":{"attributes":[{"key":'
    b'"service.name","value":{"stringValue":"%b"}}]},"scopeSpans":[{"spans":[%b]}]}]}\n'
    % (b"s" * 1_000_000, b",".join([b'{"traceId":"t","spanId":"1","name":"chat"}'] * 20_000)),
    "very short lines": b"{}\n" * 100_000,
    "very short lines, all rejected": b"x\n" * 200_000,
}


CASES = [
    *(("event", name) for name in HOSTILE),
    ("raw", "secrets"),
    pytest.param("raw", "few enough secrets", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("form", "name"), CASES)
def test_small_values_do_not_outgrow_the_container(sidecar: Sidecar, form: str, name: str) -> None:
    sidecar.configure(
        LAKE.format(lake=sidecar.lake).replace("batch", f'format = "{form}"\nbatch'),
        source='max_line = "8MiB"',
    )
    (sidecar.traces / "hostile.jsonl").write_bytes(HOSTILE[name])
    (sidecar.traces / "other.jsonl").write_bytes(b'{"n":"the-line-of-another"}\n')
    code, peak_bytes = sidecar.ship_measured()
    assert code == 0
    assert peak_bytes < CONTAINER_BYTES
    lines = sidecar.lines()
    assert sum(b"the-line-of-another" in line for line in lines) == 1
    assert not any(b"hunter2hunter2" in line or b"x1y2z3w4q" in line for line in lines)
