"""The names that vulture must allow are names of something."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.hygiene.source_tree import tracesidecar

ALLOWED = Path(__file__).with_name("used_from_outside.py")


def read_allowed() -> set[str]:
    return {
        node.value.attr
        for node in ast.parse(ALLOWED.read_text("utf-8")).body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Attribute)
    }


def test_every_allowed_name_exists() -> None:
    written: set[str] = set()
    for nodes in tracesidecar().nodes.values():
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                written.add(node.name)
            elif isinstance(node, ast.Name):
                written.add(node.id)
            elif isinstance(node, ast.Attribute):
                written.add(node.attr)
            elif isinstance(node, ast.arg):
                written.add(node.arg)
    assert not read_allowed() - written
