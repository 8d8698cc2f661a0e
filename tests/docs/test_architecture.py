"""ARCHITECTURE.md names what exists: each of its bold words, and each path in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.hygiene.source_tree import tracesidecar
from tracesidecar.cli import COMMANDS

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "ARCHITECTURE.md").read_text("utf-8")
DECISIONS = PROJECT / "docs" / "decisions"


def names() -> set[str]:
    """Everything that a bold word may name: modules, folders, classes, functions and commands."""
    tree = tracesidecar()
    defined = {
        node.name
        for nodes in tree.nodes.values()
        for node in nodes
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    modules = {module.removeprefix("tracesidecar.") for module in tree.modules}
    return defined | modules | {module.rpartition(".")[2] for module in modules} | set(COMMANDS)


def test_every_bold_word_is_the_name_of_something() -> None:
    bold = set(re.findall(r"\*\*`?([^*`]+)`?\*\*", TEXT))
    assert len(bold) > 30
    assert not bold - names()


def test_the_glossary_has_twenty_words_and_a_module_for_each() -> None:
    rows = re.findall(
        r"^\| \*\*(\w+)\*\* \|.*\| `([a-z_/]+\.py)` \|$", section("2. Glossary"), re.MULTILINE
    )
    assert len(rows) == 20
    assert not [path for _, path in rows if not (PROJECT / "tracesidecar" / path).is_file()]


def test_every_path_in_it_exists() -> None:
    paths = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.\w+)?)`", TEXT))
    assert len(paths) > 20
    assert not [
        path
        for path in paths
        if not (PROJECT / path).exists() and not (PROJECT / "tracesidecar" / path).exists()
    ]


def test_it_has_the_ten_sections() -> None:
    titles = re.findall(r"^## (\d+)\. ", TEXT, re.MULTILINE)
    assert titles == [str(number) for number in range(1, 11)]


def test_every_decision_is_linked_and_says_context_decision_and_consequence() -> None:
    pages = sorted(DECISIONS.glob("*.md"))
    assert len(pages) > 10
    assert {path.name for path in pages} == set(re.findall(r"docs/decisions/([\w-]+\.md)", TEXT))
    for path in pages:
        parts = re.findall(r"^\*\*(\w+)\.\*\*", path.read_text("utf-8"), re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequence"], path.name


def section(title: str) -> str:
    """Return the text below a heading."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
