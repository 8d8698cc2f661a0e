"""The page of results of the sink contract comes from a run of the tests as they are now."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "sinks" / "contract.md").read_text("utf-8")
CONTRACT = ROOT / "tests" / "contract"
AGAIN = (
    "run tests/contract with --junitxml=REPORT.xml, then "
    "python -m tests.contract.table REPORT.xml > docs/sinks/contract.md"
)


def claims(module: Path) -> list[str]:
    names = (
        node.name
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return [
        name.removeprefix("test_").replace("_", " ") for name in names if name.startswith("test_")
    ]


def test_every_promise_of_all_sinks_is_on_the_page() -> None:
    assert not [
        claim for claim in claims(CONTRACT / "test_contract.py") if f"| {claim}" not in PAGE
    ], AGAIN


def test_every_destination_under_the_contract_has_its_column() -> None:
    tree = ast.parse((CONTRACT / "conftest.py").read_text("utf-8"))
    names = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.endswith("_place")
    ]
    columns = {
        cell.strip()
        for cell in next(line for line in PAGE.splitlines() if line.startswith("| | ")).split("|")
    }
    assert not {name.removesuffix("_place") for name in names} - columns, AGAIN


def test_nothing_on_the_page_failed() -> None:
    assert "**✗** |" not in PAGE
