"""One public class name means one thing, and a method or function is named by what it does."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hygiene.source_tree import PACKAGE, SourceTree, tracesidecar

SHARED = {
    "Options": (
        "sinks",
        "what a person may set of one destination; the registry asks for that name",
    ),
    "Line": ("dialects", "one line of one trace format, decoded"),
    "State": ("dialects", "what one dialect remembers of a file's earlier lines"),
}
"""Class names that several modules of one part have, with what they mean in all of them."""

VERBS = {"succeed", "embed", "exceed", "feed", "need", "proceed", "seed", "shed", "speed"}
"""Verbs that look like a past participle."""

ADVERBS = {
    "afresh", "again", "anew", "apart", "away", "back", "behind", "due", "far", "here",
    "later", "near", "now", "once", "still", "then", "there", "together", "well", "when", "yet",
}  # fmt: skip
"""`file.anew()` does not say what it does."""

PARTICIPLES = {
    "begun", "bent", "born", "borne", "bought", "bound", "broken", "brought", "built", "caught",
    "chosen", "dealt", "done", "drawn", "driven", "eaten", "fallen", "fed", "felt", "fled",
    "forbidden", "foreseen", "forgotten", "found", "frozen", "given", "gone", "gotten", "grown",
    "heard", "held", "hidden", "hung", "kept", "known", "laid", "led", "left", "lent", "lost",
    "made", "meant", "met", "mistaken", "overdone", "overridden", "overtaken", "overwritten",
    "paid", "proven", "rebuilt", "redone", "resent", "rewritten", "ridden", "risen", "said",
    "seen", "sent", "shaken", "shown", "slept", "sold", "sought", "spent", "spoken", "stolen",
    "stood", "struck", "stuck", "swept", "sworn", "taken", "taught", "thought", "thrown", "told",
    "torn", "understood", "undone", "unheld", "unknown", "unseen", "unsent", "unwritten",
    "withdrawn", "withheld", "woken", "won", "worn", "wound", "woven", "written",
}  # fmt: skip
"""The ones without -ed: nor does `report.told()`. One that is its own verb (read, set, cut, split)
is no finding.
"""

LY_VERBS = {"apply", "imply", "multiply", "reply", "rely", "supply"}
"""Verbs that look like an adverb."""

ADJECTIVES = {"absent", "busy", "overdue", "ready", "similar"}
"""A bare adjective describes something, but does not say what the call does."""

CLAIMS = {"are", "can", "did", "has", "have", "is", "may", "must", "was", "were"}
"""The first words of a claim that is true or false: `is_closed`, `may_come_back`."""

ALLOWED: dict[str, str] = {
    "ship_once": "the command is `ship --once`",
    "retry_later": "it makes a RetryLater, a word of the sinks' contract",
}
"""Names that end in an adverb, with the reason."""


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


def callables(tree: SourceTree) -> Iterator[tuple[str, str]]:
    """Yield every method and function, by its module and name, also private and nested ones.

    Properties and fixtures are exempt, as their users read them as nouns; so are tests, whose names
    are claims.
    """
    for module, nodes in tree.nodes.items():
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                decorators = {ast.unparse(each) for each in node.decorator_list}
                if not node.name.startswith("test_") and not any(
                    word in each
                    for each in decorators
                    for word in ("property", ".setter", "pytest.fixture")
                ):
                    yield module, node.name


def is_participle_or_adverb(word: str) -> bool:
    """Return whether the word is a past participle or an adverb, and no verb as well."""
    return (
        word in ADVERBS | PARTICIPLES
        or (word.endswith("ed") and word not in VERBS)
        or (word.endswith("ly") and word not in LY_VERBS)
    )


def is_no_verb(name: str) -> bool:
    """Return whether the name does not say what a call does.

    Its first word may be no participle and no adverb. Its last may be a participle, as what stands
    before it is a verb (`find_expired`, `is_closed`), and an adverb only in a claim
    (`may_come_back`).
    """
    first, *rest = name.strip("_").split("_")
    if is_participle_or_adverb(first) or (not rest and first in ADJECTIVES):
        return True
    return bool(rest) and rest[-1] in ADVERBS and first not in CLAIMS


def no_verbs(tree: SourceTree) -> list[str]:
    """Return the methods and functions whose name does not say what a call does."""
    return [
        f"{module}.{name}"
        for module, name in callables(tree)
        if is_no_verb(name) and name.strip("_") not in ALLOWED
    ]


def test_a_public_class_name_means_one_thing() -> None:
    assert not collisions(tracesidecar())


@pytest.mark.parametrize("tree", ["tracesidecar", "tests", "bench"])
def test_no_method_or_function_is_named_by_a_participle_or_an_adverb(tree: str) -> None:
    assert not no_verbs(SourceTree(PACKAGE.parent / tree))


@pytest.mark.parametrize(
    "name",
    [
        *("told", "anew", "dated", "there", "settled", "overdue", "similar", "allowed"),
        *("newly_protected", "continued_by", "required_offset", "stored_objects"),
        *("size_now", "compile_here", "find_again", "protections_so_far"),
        *("found", "shown_name", "kept_lines", "written", "_opened", "_lost", "eventually"),
    ],
)
def test_a_name_that_does_not_say_what_a_call_does_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.py").write_text(f"def {name}(): ...\nclass A:\n    def {name}(self): ...\n")
    assert len(no_verbs(SourceTree(tmp_path))) == 2


@pytest.mark.parametrize(
    "name",
    [
        *("tell", "feed", "read", "send", "apply", "clean", "retain_rejected", "find_expired"),
        *("is_closed", "is_taken", "may_come_back", "has_changed", "mark_sent"),
        *("read", "set_limit", "split", "_cut", "_put_back_pressure", "_retry_later"),
    ],
)
def test_a_verb_and_a_claim_are_no_finding(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.py").write_text(f"def {name}(): ...\n")
    assert no_verbs(SourceTree(tmp_path)) == []


@pytest.mark.parametrize(
    "code",
    [
        "class A:\n    @property\n    def settled(self): ...\n",
        "@pytest.fixture\ndef shipped(): ...\n",
        "@pytest.fixture(scope='module')\ndef shipped(): ...\n",
        "def test_it_is_read_again(): ...\n",
    ],
)
def test_a_property_and_a_fixture_may_be_nouns_and_a_test_a_claim(
    tmp_path: Path, code: str
) -> None:
    (tmp_path / "a.py").write_text(code)
    assert no_verbs(SourceTree(tmp_path)) == []


def test_every_exception_is_still_needed() -> None:
    assert not ALLOWED.keys() - {name for _, name in callables(tracesidecar())}
