"""Loss can be alerted on: counters exist at 0 from the start, and go on after a restart."""

from __future__ import annotations

import re
import signal
import time
from contextlib import closing

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.servers.processes import wait_until
from tracesidecar.journal import Journal
from tracesidecar.line_types import MOST_TYPES, OTHER
from tracesidecar.metrics import PREFIX, Metrics

DEAD = (
    '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n'
    'batch = { age = "100ms", idle = "50ms" }\n'
)
PLANTED = b'{"text":"key AKIA' + b'Q7LPMN5HFZKE2345"}\n'
UNKNOWN = b'{"type":"never-seen","sessionId":"s","uuid":"u","timestamp":"2026-01-01T00:00:00Z"}\n'

Values = dict[tuple[str, str], float]


def counters() -> set[str]:
    """Every counter that the program has, without the prefix."""
    families = Metrics().registry.collect()
    return {
        f"{family.name.removeprefix(PREFIX)}_total"
        for family in families
        if family.type == "counter" and family.name.startswith(PREFIX)
    }


def scrape(sidecar: Sidecar) -> Values:
    """Every counter: name and labels → value."""
    values: Values = {}
    for line in sidecar.get("/metrics")[1].decode().splitlines():
        match = re.match(r"tracesidecar_(\w+_total)(\{.*\})? (\S+)$", line)
        if match:
            values[match[1], match[2] or ""] = float(match[3])
    return values


@pytest.mark.long
def test_every_counter_of_the_program_is_there_and_goes_on_after_a_restart(
    sidecar: Sidecar,
) -> None:
    """Those of the registry, not of a list: one that is added later is held, too."""
    known = counters()
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'format = "event"\n' + DEAD, "repair = true")
    path = sidecar.traces / "a.jsonl"
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    fresh = scrape(sidecar)
    assert {name for name, _ in fresh} == known - {"unknown_types_total"}, "of labels unknown yet"
    counted = {key for key, value in fresh.items() if value}
    assert counted <= {
        ("retries_total", '{reason="network",sink="far"}'),
        ("batches_total", '{outcome="retry",sink="far"}'),
    }, "connecting counts if it fails"
    path.write_bytes(body(number_lines(0, 3)) + PLANTED + b"\n{torn\n" + UNKNOWN + b'{"n":NaN}\n')
    wait_until(lambda: scrape(sidecar)["delivered_lines_total", '{sink="lake"}'] == 6)
    sidecar.pause()  # a file that is seen empty was rotated, not rewritten
    path.write_bytes(body(number_lines(7, 1)))
    sidecar.resume()
    wait_until(lambda: scrape(sidecar)["rewritten_files_total", '{source="agent"}'] == 1)
    wait_until(lambda: scrape(sidecar)["delivered_lines_total", '{sink="lake"}'] == 7)
    wait_until(lambda: scrape(sidecar)["lost_bytes_total", '{reason="truncated"}'] > 0)
    before = scrape(sidecar)
    assert sidecar.stop() == 75
    sidecar.start()
    sidecar.wait_for_event("service.ready", 2)
    after = scrape(sidecar)
    assert {name for name, _ in after} == known
    assert {key: value for key, value in before.items() if after[key] < value} == {}
    assert {name for (name, _), value in after.items() if value} == known - {
        "open_messages_total",  # in test_events.py
        "lost_files_total",  # in test_known_losses.py
        "sink_restarts_total",  # only a bug counts there
        "id_conflicts_total",  # in test_id_conflicts.py
        "repeated_bytes_total",  # in test_half_arrived.py
        "displaced_records_total",  # in test_budgets.py
    }
    sidecar.kill()


@pytest.mark.long
def test_every_counter_exists_at_zero_with_its_known_labels(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + DEAD)
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    values = scrape(sidecar)
    of = '{sink="lake"}'
    expected = {
        ("delivered_lines_total", of),
        ("delivered_bytes_total", of),
        ("sink_restarts_total", of),
        *(
            ("batches_total", f'{{outcome="{outcome}",sink="lake"}}')
            for outcome in ("ok", "retry", "rejected")
        ),
        *(
            ("retries_total", f'{{reason="{reason}",sink="lake"}}')
            for reason in ("no_space", "unreachable", "throttled", "credentials")
        ),
        ("read_bytes_total", '{source="agent"}'),
        ("lines_total", '{source="agent"}'),
        ("blank_lines_total", '{source="agent"}'),
        ("rewritten_files_total", '{source="agent"}'),
        *(("lost_files_total", f'{{reason="{reason}"}}') for reason in ("moved", "gone")),
        *(
            ("quarantined_lines_total", f'{{reason="{reason}",source="agent"}}')
            for reason in ("not_json", "too_long", "over_budget", "redaction_failed")
        ),
        *(
            ("lost_bytes_total", f'{{reason="{reason}"}}')
            for reason in ("deleted", "truncated", "changed", "corrupt", "bomb")
        ),
        *(
            ("lost_files_total", f'{{reason="{reason}"}}')
            for reason in ("corrupt", "bomb", "moved", "gone")
        ),
        ("rewritten_files_total", '{source="agent"}'),
        *(
            ("redactions_total", f'{{rule="{rule}"}}')
            for rule in ("aws-access-key-id", "key-name", "base64")
        ),
    }
    assert expected - values.keys() == set()
    assert {key: values[key] for key in expected} == dict.fromkeys(expected, 0.0), "also connected"
    exposition = sidecar.get("/metrics")[1]
    for name in (
        b"tracesidecar_ready ",
        b"tracesidecar_config_reload_success 1.0",
        b'tracesidecar_last_delivery_timestamp_seconds{sink="lake"} 0.0',
        b'tracesidecar_unreadable{source="agent"} 0.0',
        b'tracesidecar_send_seconds_count{sink="lake"} 0.0',
        b"process_cpu_seconds_total",
        b"process_resident_memory_bytes",
    ):
        assert name in exposition
    assert sidecar.stop() in {0, 75}


def test_counters_go_on_after_a_kill_and_count_every_line_once(sidecar: Sidecar) -> None:
    """Also those of lines that the killed process had read and not delivered."""
    sidecar.configure(LAKE.format(lake=sidecar.lake) + DEAD)
    path = sidecar.traces / "a.jsonl"
    path.write_bytes(body(number_lines(0, 10)) + PLANTED + b"\n" + b"{torn\n")
    sidecar.start()
    sidecar.arrives(11)
    wait_until(lambda: scrape(sidecar)["retries_total", '{reason="network",sink="far"}'] > 0)
    before = scrape(sidecar)
    assert before["lines_total", '{source="agent"}'] == 11
    wait_until(lambda: (sidecar.state / "journal.sqlite").exists())
    append(path, number_lines(100, 5))
    sidecar.arrives(16)
    wait_until(lambda: scrape(sidecar)["delivered_lines_total", '{sink="lake"}'] == 16)
    sidecar.stop(signal.SIGKILL)
    append(path, number_lines(200, 4))
    sidecar.start()
    sidecar.arrives(20)
    wait_until(lambda: scrape(sidecar)["delivered_lines_total", '{sink="lake"}'] == 20)
    after = scrape(sidecar)
    assert after["lines_total", '{source="agent"}'] == 20
    assert after["read_bytes_total", '{source="agent"}'] == path.stat().st_size
    assert after["blank_lines_total", '{source="agent"}'] == 1
    assert sum(n for (name, _), n in after.items() if name == "quarantined_lines_total") == 1
    assert after["redactions_total", '{rule="aws-access-key-id"}'] == 1
    for key, value in before.items():
        if key[0] != "retries_total" and '"far"' not in key[1]:
            assert after[key] >= value, key
    sidecar.kill()


def count_types(values: Values) -> dict[str, float]:
    """The metric of line types: labels → value."""
    return {labels: n for (name, labels), n in values.items() if name == "unknown_types_total"}


def test_an_agent_adds_few_labels_however_many_types_it_invents(sidecar: Sidecar) -> None:
    """Also those that an earlier version had saved: they are counted once more, as `other`."""
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'format = "event"\n')
    lines = [
        b'{"type":"%s%d","sessionId":"s","uuid":"%d","timestamp":"2026-01-01T00:00:00Z"}'
        % (prefix, number, number)
        for number in range(1000)
        for prefix in (b"jane.doe/", b"made.up.")
    ]
    first = UNKNOWN.replace(
        b'"never-seen"', b'"user","isSidechain":false,"message":{"content":"a"}'
    )
    path = sidecar.traces / "a.jsonl"
    path.write_bytes(first + b"\n".join(lines) + b"\n")
    assert sidecar.ship().returncode == 0
    with closing(Journal.open(str(sidecar.state))) as journal:
        saved = journal.counters.load()
        named = {key: n for key, n in saved.items() if key[0] == "unknown_types_total"}
        assert sum(named.values()) == len(lines)
        assert len(named) == MOST_TYPES + 1
        assert not any("doe" in name for _, labels in named for name in labels)
        assert named["unknown_types_total", ("claude_code", OTHER)] >= 1000
        journal.counters.save(
            {("unknown_types_total", ("claude_code", f"old.{n}")): 1.0 for n in range(3000)}
        )
    for _ in range(2):
        assert sidecar.ship().returncode == 0
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    types = count_types(scrape(sidecar))
    assert sum(types.values()) == len(lines) + 3000
    assert len(types) == MOST_TYPES + 1
    assert sidecar.stop() == 0
    with closing(Journal.open(str(sidecar.state))) as journal:
        assert len(journal.counters.load()) < 100


def test_rewritten_files_are_known_after_a_restart(sidecar: Sidecar) -> None:
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 10))
    assert sidecar.ship().returncode == 0
    path.write_bytes(body([*number_lines(0, 5), *number_lines(10, 2)]))
    assert sidecar.ship().returncode == 0
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    assert scrape(sidecar)["rewritten_files_total", '{source="agent"}'] == 1
    assert sidecar.stop() == 0


def test_lost_bytes_and_the_last_delivery_are_known_after_a_restart(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + DEAD, daemon='drain_deadline = "300ms"')
    path = sidecar.traces / "a.jsonl"
    append(path, number_lines(0, 10))
    assert sidecar.ship().returncode == 75
    for held in (sidecar.state / "held").iterdir():
        held.unlink()
    size = path.stat().st_size
    path.unlink()
    assert sidecar.ship().returncode == 0
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    values = scrape(sidecar)
    assert values["lost_bytes_total", '{reason="deleted"}'] == size
    assert values["batches_total", '{outcome="retry",sink="far"}'] > 0
    found = re.search(
        rb'last_delivery_timestamp_seconds\{sink="lake"\} (\S+)', sidecar.get("/metrics")[1]
    )
    assert found is not None
    assert 0 < time.time() - float(found[1]) < 600
    sidecar.kill()
