"""Makes the table of the results of the contract tests from a run.

`pytest tests/contract --junitxml=REPORT.xml`, then `python -m tests.contract.table REPORT.xml >
docs/sinks/contract.md`.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal
from xml.etree import ElementTree as ET

from tests.servers.provision import SERVERS
from tracesidecar.sinks.registry import SINK_PACKAGES

Outcome = Literal["passed", "failed", "skipped"]
MARKS: dict[Outcome | None, str] = {"passed": "✓", "failed": "**✗**", "skipped": "–", None: ""}
COMMON = "contract"
INTRODUCTION = """# What was tried with each sink

Made from a run of `tests/contract` by `python -m tests.contract.table`, not by hand.
✓: it held, **✗**: it did not, –: its server was not there, empty: it makes no sense for this
sink, or it has a test of its own below.

{servers}
PostgreSQL is also that of the package pgserver. HTTP and Datadog are receivers of our own,
Datadog's after its public documentation.
"""


@dataclass(frozen=True)
class Case:
    """The outcome of one test: its module, its claim, and its place (empty if it has one of its
    own).
    """

    module: str
    claim: str
    place: str
    outcome: Outcome


def cases(report: ET.Element) -> Iterator[Case]:
    """Yield the cases of a pytest report."""
    for case in report.iter("testcase"):
        module = case.get("classname", "").rpartition(".test_")[2]
        name, _, rest = case.get("name", "").partition("[")
        parts = rest.removesuffix("]").split("-") if rest else []
        places = [
            part
            for part in parts
            if part.endswith("_place") or (module not in SINK_PACKAGES and part in SINK_PACKAGES)
        ]
        variant = "-".join(part for part in parts if part not in places)
        claim = name.removeprefix("test_").replace("_", " ") + (f" ({variant})" if variant else "")
        yield Case(
            module, claim, places[0].removesuffix("_place") if places else "", _outcome(case)
        )


def _outcome(case: ET.Element) -> Outcome:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "passed" if case.find("skipped") is None else "skipped"


def page(found: Iterable[Case]) -> str:
    """Return the page. A sink that tests a common claim in its own module has the result in its
    column.
    """
    of_run = sorted(
        (case for case in found if case.module != "table"),
        key=lambda case: (case.module != COMMON, case.claim),
    )  # the order of a run is random
    claims = {case.claim for case in of_run if case.place}
    placed = [
        replace(case, place=case.place or case.module)
        if case.claim in claims and case.module in SINK_PACKAGES
        else case
        for case in of_run
    ]
    names = ", ".join(f"{server.name} {server.version}" for server in SERVERS.values())
    servers = textwrap.fill(f"The servers: {names}.", 100)
    common, own = (
        _common([case for case in placed if case.place]),
        _own([case for case in placed if not case.place]),
    )
    return "\n".join(
        (
            INTRODUCTION.format(servers=servers),
            common,
            "## What only some of them promise\n",
            own.rstrip("\n") + "\n",
        )
    )


def _common(found: list[Case]) -> str:
    places = sorted({case.place for case in found})
    outcomes = {(case.claim, case.place): case.outcome for case in found}
    rows = [
        f"| {_cell(claim)} | "
        f"{' | '.join(MARKS[outcomes.get((claim, place))] for place in places)} |"
        for claim in _in_order(found)
    ]
    return "\n".join((f"| | {' | '.join(places)} |", f"|---|{':-:|' * len(places)}", *rows, ""))


def _own(found: list[Case]) -> str:
    """Join the variants of a claim to one row; the worst outcome counts."""
    parts = []
    for module in sorted({case.module for case in found}):
        outcomes: dict[str, set[Outcome]] = {}
        for case in (case for case in found if case.module == module):
            outcomes.setdefault(case.claim.partition(" (")[0], set()).add(case.outcome)
        rows = [
            f"| {_cell(claim)} | {MARKS[_worst(all_of)]} |" for claim, all_of in outcomes.items()
        ]
        parts.append("\n".join((f"| {module.replace('_', ' ')} | |", "|---|:-:|", *rows, "")))
    return "\n".join(parts)


def _worst(outcomes: set[Outcome]) -> Outcome:
    return next(outcome for outcome in ("failed", "skipped", "passed") if outcome in outcomes)


def _in_order(found: list[Case]) -> list[str]:
    return list(dict.fromkeys(case.claim for case in found))


def _cell(text: str) -> str:
    return re.sub(r"[|\n\r]", " ", text)


if __name__ == "__main__":
    print(page(cases(ET.parse(sys.argv[1]).getroot())), end="")
