"""Every promise of the README names the module that keeps it and a test that shows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text("utf-8")
[TABLE] = re.findall(r"<!-- promises -->\n(.*?)<!-- /promises -->", README, re.DOTALL)
ROWS = [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in TABLE.splitlines()[2:]]
PATHS = [(kept.strip("`"), shown.strip("`")) for _, kept, shown in ROWS]


def test_there_are_twelve_promises_and_each_is_kept_in_a_place_of_its_own() -> None:
    assert len(ROWS) == 12
    assert len({kept for kept, _ in PATHS}) == len({shown for _, shown in PATHS}) == len(ROWS)


@pytest.mark.parametrize(("kept", "shown"), PATHS)
def test_the_module_and_the_test_of_a_promise_exist(kept: str, shown: str) -> None:
    assert kept.startswith("tracesidecar/")
    assert (PROJECT / kept).is_file()
    path, _, name = shown.partition("::")
    tree = ast.parse((PROJECT / path).read_text("utf-8"))
    assert name in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
