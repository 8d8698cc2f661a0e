"""The figures of Attocode's own analyzers can be computed from our events of its files."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.dialects.mapping import SAMPLES, events_of, sample
from tracesidecar.dialects.event import Event

Golden = dict[str, Any]
SESSIONS = {
    "attocode-collector.jsonl": "attocode-collector.jsonl",
    "attocode-cli.jsonl": (
        "attocode-cli.jsonl (kind 'tool' mapped to 'tool_end'; the unmodified file raises "
        "ValueError: 'tool' is not a valid TraceEventKind)"
    ),
}


@dataclass(frozen=True)
class Analysis:
    """A session as its analyzer sees it.

    The sum of a call's tokens has no column of its own; `raw` has it.
    """

    events: list[Event]

    def responses(self) -> list[Event]:
        return [event for event in self.events if event.operation_name == "chat"]

    def kinds(self) -> Counter[str | None]:
        return Counter(event.operation_name for event in self.events)

    def tool_errors(self) -> int:
        return sum(event.error_type == "tool_error" for event in self.events)

    def errors(self) -> int:
        return self.tool_errors() + sum(event.event_kind == "error" for event in self.events)

    def tool_calls(self) -> int:
        return sum(event.event_kind == "tool_result" for event in self.events)

    def compactions(self) -> int:
        return sum(event.event_kind == "compaction" for event in self.events)

    def total_tokens(self) -> int:
        return sum(tokens(event) for event in self.responses())

    def total_cost(self) -> float:
        return sum(event.cost_usd or 0.0 for event in self.responses())

    def breakdown(self) -> dict[str, int]:
        calls = self.responses()
        return {
            "input": sum(event.input_tokens or 0 for event in calls),
            "output": sum(event.output_tokens or 0 for event in calls),
            "cache_read": sum(event.cache_read_input_tokens or 0 for event in calls),
            "cache_write": sum(event.cache_creation_input_tokens or 0 for event in calls),
        }

    def cache_hit(self) -> float:
        sums = self.breakdown()
        whole = sums["input"] + sums["cache_read"]
        return sums["cache_read"] / whole if whole else 0.0

    def efficiency(self) -> float:
        iterations, tools, sums = (
            self.kinds()["iteration_start"],
            self.tool_calls(),
            self.breakdown(),
        )
        whole = sums["input"] + sums["cache_read"]
        return round(
            30 * self.cache_hit()
            + (25 * (1 - min(self.errors() / tools, 1)) if tools else 25)
            + (15 * (1 - min(self.compactions() / iterations, 1)) if iterations else 15)
            + (20 * max(0.0, 1 - self.tool_errors() / tools) if tools else 20)
            + (10 * min(sums["output"] / whole, 1) if whole else 5.0),
            1,
        )

    def by_iteration(self) -> dict[str, tuple[float, int]]:
        """Return cost and tokens by the iteration that is the parent, "0" if none is."""
        starts = [
            event.native_id for event in self.events if event.operation_name == "iteration_start"
        ]
        found: dict[str, tuple[float, int]] = {}
        for event in self.responses():
            number = str(starts.index(event.parent_id) + 1) if event.parent_id in starts else "0"
            cost, count = found.get(number, (0.0, 0))
            found[number] = (cost + (event.cost_usd or 0.0), count + tokens(event))
        return found


def tokens(event: Event) -> int:
    return int(json.loads(event.raw or "{}").get("data", {}).get("tokens") or 0)


@pytest.fixture(params=SESSIONS)
def session(request: pytest.FixtureRequest) -> tuple[Analysis, Golden]:
    analysis = Analysis(events_of(f"/home/agent/{request.param}", sample(request.param)))
    golden: dict[str, Golden] = json.loads((SAMPLES / "attocode.golden.json").read_text())
    return analysis, golden[SESSIONS[request.param]]


def test_the_summary_is_theirs(session: tuple[Analysis, Golden]) -> None:
    analysis, golden = session
    iterations = analysis.kinds()["iteration_start"]
    starts = [event for event in analysis.events if event.operation_name == "session_start"]
    assert {
        "goal": starts[-1].text or "",
        "model": starts[-1].model or "",
        "total_tokens": analysis.total_tokens(),
        "total_cost": pytest.approx(analysis.total_cost()),
        "iterations": iterations,
        "tool_calls": analysis.tool_calls(),
        "llm_calls": len(analysis.responses()),
        "errors": analysis.errors(),
        "compactions": analysis.compactions(),
        "efficiency_score": analysis.efficiency(),
        "cache_hit_rate": round(analysis.cache_hit(), 4),
        "avg_tokens_per_iteration": round(analysis.total_tokens() / iterations, 1),
        "avg_cost_per_iteration": round(analysis.total_cost() / iterations, 6),
    } == {
        key: value
        for key, value in golden["summary"].items()
        if key not in ("session_id", "duration_seconds")
    }


def test_the_tokens_are_theirs(session: tuple[Analysis, Golden]) -> None:
    analysis, golden = session
    assert analysis.breakdown() == golden["token_breakdown"]
    assert analysis.cache_hit() == pytest.approx(golden["cache_efficiency"])
    assert {number: cost for number, (cost, _) in analysis.by_iteration().items()} == pytest.approx(
        golden["cost_by_iteration"]
    )
    flow = {str(each["iteration"]): each["total_tokens"] for each in golden["token_flow"]}
    assert {number: count for number, (_, count) in analysis.by_iteration().items()} == flow


def test_a_session_lasts_as_long_as_theirs(session: tuple[Analysis, Golden]) -> None:
    analysis, golden = session
    times = {
        event.operation_name: datetime.fromisoformat(event.event_time or "")
        for event in analysis.events
    }
    lasted = (times["session_end"] - times["session_start"]).total_seconds()
    assert lasted == pytest.approx(golden["summary"]["duration_seconds"], abs=2e-6)
