"""One public class name means one thing, and a method is named by a verb."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from tests.hygiene.source_tree import SourceTree, tracesidecar

SHARED = {
    "Options": (
        "sinks",
        "what a person may set of one destination; the registry asks for that name",
    ),
    "Line": ("dialects", "one line of one trace format, decoded"),
    "State": ("dialects", "what one dialect remembers of a file's earlier lines"),
}
"""Class names that several modules of one part have, with what they mean in all of them."""

VERBS = {"embed", "exceed", "feed", "need", "proceed", "read", "seed", "shed", "speed"}
"""Verbs that look like a past participle."""

NO_VERBS = {
    "afresh", "again", "anew", "apart", "away", "back", "behind", "due", "far", "gone",
    "here", "later", "left", "lost", "made", "near", "now", "once", "said", "sent", "spoken",
    "still", "taken", "then", "there", "together", "told", "well", "when", "yet",
}  # fmt: skip
"""Participles without -ed, and adverbs: `report.told()` and `file.anew()` say nothing."""

ALLOWED: dict[str, str] = {}
"""Methods whose name somebody else has chosen, with who."""


def collisions(tree: SourceTree) -> list[str]:
    """Return the public class names that stand for more than one class."""
    places = defaultdict(list)
    for module, nodes in tree.nodes.items():
        for node in nodes:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    return [
        f"{name}: {', '.join(modules)}"
        for name, modules in places.items()
        if len(modules) > 1
        and not (name in SHARED and {tree.part(module) for module in modules} == {SHARED[name][0]})
    ]


def methods(tree: SourceTree) -> Iterator[tuple[str, str]]:
    """Yield every method, by its class and name; a property is a noun and not meant."""
    for module, nodes in tree.nodes.items():
        for node in nodes:
            if not isinstance(node, ast.ClassDef):
                continue
            for step in node.body:
                if not isinstance(step, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                decorators = {ast.unparse(each) for each in step.decorator_list}
                if not any("property" in each or ".setter" in each for each in decorators):
                    yield f"{module}.{node.name}", step.name


def is_no_verb(name: str) -> bool:
    """Return whether the name is one word, and a past participle or an adverb."""
    return name in NO_VERBS or (name.endswith("ed") and "_" not in name and name not in VERBS)


def no_verbs(tree: SourceTree) -> list[str]:
    """Return the methods that are named by a past participle or an adverb."""
    return [
        f"{owner}.{name}"
        for owner, name in methods(tree)
        if is_no_verb(name.strip("_")) and f"{owner}.{name}" not in ALLOWED
    ]


def test_a_public_class_name_means_one_thing() -> None:
    assert not collisions(tracesidecar())


def test_no_method_is_named_by_a_participle_or_an_adverb() -> None:
    assert not no_verbs(tracesidecar())


def test_the_rule_of_method_names_knows_verbs_from_participles() -> None:
    assert [
        name for name in ("told", "anew", "dated", "there", "settled") if not is_no_verb(name)
    ] == []
    assert [
        name for name in ("tell", "feed", "read", "retain_rejected", "send") if is_no_verb(name)
    ] == []


def test_every_exception_is_still_needed() -> None:
    tree = tracesidecar()
    assert not ALLOWED.keys() - {f"{owner}.{name}" for owner, name in methods(tree)}
