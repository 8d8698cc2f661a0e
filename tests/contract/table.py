"""The table of what each sink was seen to do, made from a run: `python -m tests.contract.table REPORT.xml > docs/sinks/contract.md`.

The report is pytest's: `pytest tests/contract --junitxml=REPORT.xml`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from tests.servers.provision import SERVERS

Outcome = Literal["passed", "failed", "skipped"]
MARKS: dict[Outcome | None, str] = {"passed": "✓", "failed": "**✗**", "skipped": "–", None: ""}
COMMON = "test_contract"
INTRODUCTION = """# What was tried with each sink

Made from a run of `tests/contract` by `python -m tests.contract.table`, not by hand. ✓: it held, **✗**: it did not, –: its server was not there,
empty: it makes no sense for this sink. The servers were real ones: {servers}; PostgreSQL is that of the package pgserver; HTTP and Datadog are
receivers of our own, Datadog's after its public documentation.
"""


@dataclass(frozen=True)
class Case:
    """A test's claim: of which module, for which place (empty where it has one of its own), and how it ended."""

    module: str
    claim: str
    place: str
    outcome: Outcome


def cases(report: ET.Element) -> Iterator[Case]:
    """Read a report of pytest."""
    for case in report.iter("testcase"):
        name, _, rest = case.get("name", "").partition("[")
        parts = rest.removesuffix("]").split("-") if rest else []
        place = next((part.removesuffix("_place") for part in parts if part.endswith("_place")), "")
        variant = "-".join(part for part in parts if not part.endswith("_place"))
        claim = name.removeprefix("test_").replace("_", " ") + (f" ({variant})" if variant else "")
        yield Case(case.get("classname", "").rpartition(".")[2], claim, place, _outcome(case))


def _outcome(case: ET.Element) -> Outcome:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "passed" if case.find("skipped") is None else "skipped"


def page(found: Iterable[Case]) -> str:
    """Write the page."""
    common, own = [], []
    for case in found:
        (common if case.module == COMMON else own).append(case)
    servers = ", ".join(f"{server.name} {server.version}" for server in SERVERS.values())
    return "\n".join((INTRODUCTION.format(servers=servers), _common(common), "## What only some of them promise\n", _own(own)))


def _common(found: list[Case]) -> str:
    places = sorted({case.place for case in found})
    outcomes = {(case.claim, case.place): case.outcome for case in found}
    rows = [f"| {_cell(claim)} | {' | '.join(MARKS[outcomes.get((claim, place))] for place in places)} |" for claim in _in_order(found)]
    return "\n".join((f"| | {' | '.join(places)} |", f"|---|{':-:|' * len(places)}", *rows, ""))


def _own(found: list[Case]) -> str:
    """A variant of a claim is not a claim: those are put together, and one that failed counts."""
    parts = []
    for module in sorted({case.module for case in found}):
        outcomes: dict[str, set[Outcome]] = {}
        for case in (case for case in found if case.module == module):
            outcomes.setdefault(case.claim.partition(" (")[0], set()).add(case.outcome)
        rows = [f"| {_cell(claim)} | {MARKS[_worst(all_of)]} |" for claim, all_of in outcomes.items()]
        parts.append("\n".join((f"| {module.removeprefix('test_').replace('_', ' ')} | |", "|---|:-:|", *rows, "")))
    return "\n".join(parts)


def _worst(outcomes: set[Outcome]) -> Outcome:
    return next(outcome for outcome in ("failed", "skipped", "passed") if outcome in outcomes)


def _in_order(found: list[Case]) -> list[str]:
    return list(dict.fromkeys(case.claim for case in found))


def _cell(text: str) -> str:
    return re.sub(r"[|\n\r]", " ", text)


if __name__ == "__main__":
    print(page(cases(ET.parse(sys.argv[1]).getroot())), end="")
