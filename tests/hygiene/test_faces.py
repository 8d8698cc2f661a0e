"""Each package's `__init__` is its face: what other packages import from it, and nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.hygiene.import_rules import is_in
from tests.hygiene.source_tree import Import, SourceTree, tracesidecar

PROJECT = Path(__file__).resolve().parents[2]

OF_EVERY_DESTINATION = {"SINK_TYPE", "Options", "build"}
"""The face of a destination is the same for each: the registry takes `SINK_TYPE` by that name, and
anyone who makes one sink alone imports the others.
"""

NOT_IN_THE_FACE: dict[str, str] = {
    "tracesidecar.daemon.recoverer": "for `recover` alone; the daemon does without",
    "tracesidecar.introspect.byte_ranges": "for `explain` alone",
    "tracesidecar.introspect.chunks": "for `redact` and `scan`; it loads the redaction",
    "tracesidecar.introspect.connectivity": "for `check-config --online` alone; it opens sinks",
    "tracesidecar.introspect.lag": "the daemon and `status` share it, without each other's modules",
    "tracesidecar.introspect.redaction_tests": "for `check-config` alone; it loads the redaction",
    "tracesidecar.introspect.rejected_lines": "for `quarantine` alone",
    "tracesidecar.introspect.resting": "the daemon and `status` share it, without `status` itself",
    "tracesidecar.introspect.scan": "for `scan` alone; it loads the redaction and the dialects",
    "tracesidecar.introspect.status": "for the daemon and `status`; it reads the journal",
    "tracesidecar.introspect.status_socket": "the daemon answers with it, without the commands",
    "tracesidecar.introspect.usage_totals": "for `scan` alone; it loads the dialects",
    "tracesidecar.sanitize.sanitizer": "it loads the detectors, which light commands do without",
    "tracesidecar.tail.build": "for the daemon alone; it loads all that follows files",
    "tracesidecar.tail.discovery.watcher": "it loads watchdog, which light commands do without",
    "tracesidecar.tail.tailer": "it loads all that follows files; light commands do without",
    "tracesidecar.sinks.directory": "the embedded default makes its options, typed; the face loads "
    "no destination",
}
"""Modules that outsiders import directly, with the reason why the face does not have them."""


def packages(tree: SourceTree) -> list[str]:
    """Return the packages below the root, by dotted name."""
    return [
        module
        for module in tree.modules
        if module != tree.package and any(other.startswith(f"{module}.") for other in tree.modules)
    ]


def names_in_all(tree: SourceTree, package: str) -> set[str]:
    """Return what the package's `__all__` lists."""
    for node in tree.modules[package].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def from_outside(tree: SourceTree, package: str) -> list[Import]:
    """Return the imports of a package, or of something in it, by modules outside of it."""
    return [
        found
        for found in tree.own_imports
        if f"{found.target}.".startswith(f"{package}.")
        and not f"{found.module}.".startswith(f"{package}.")
    ]


def deep_imports(tree: SourceTree) -> list[str]:
    """Return the imports that go past the face of a part of the package."""
    deep = []
    for package in packages(tree):
        if package.count(".") > 1:
            continue
        listed = names_in_all(tree, package)
        for found in from_outside(tree, package):
            is_listed_module = found.target.removeprefix(f"{package}.") in listed
            if found.target != package and not is_listed_module:
                deep.append(str(found))
    return deep


def find_unused_names(tree: SourceTree, outsiders: list[SourceTree]) -> list[str]:
    """Return the names that a face lists and that nobody outside of its package takes from it."""
    used = {(module, name) for module in tree.modules for name in OF_EVERY_DESTINATION}
    for each in (tree, *outsiders):
        for module, imports in each.imports_of.items():
            aliases = {}
            for found in imports:
                if not f"{module}.".startswith(f"{found.target}."):
                    used.add((found.target, found.name))
                    used.add((found.target.rpartition(".")[0], found.target.rpartition(".")[2]))
                    aliases[found.alias] = f"{found.target}.{found.name}".rstrip(".")
            used |= {
                (aliases[node.value.id], node.attr)
                for node in each.nodes[module]
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in aliases
            }
    return [
        f"{package}: {name}"
        for package in packages(tree)
        for name in sorted(names_in_all(tree, package))
        if (package, name) not in used
    ]


def test_outsiders_import_a_package_by_its_face() -> None:
    found = deep_imports(tracesidecar())
    assert not [
        place
        for place in found
        if not any(
            is_in(place.split(" imports ")[1].split()[0], known) for known in NOT_IN_THE_FACE
        )
    ]


def test_a_face_lists_only_what_somebody_imports() -> None:
    tests, bench = SourceTree(PROJECT / "tests"), SourceTree(PROJECT / "bench")
    assert not find_unused_names(tracesidecar(), [tests, bench])
