"""Each package's `__init__` is its face: what other packages import from it, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import Path

from tests.hygiene.import_rules import is_in
from tests.hygiene.source_tree import Import, SourceTree, tracesidecar
from tests.hygiene.test_import_rules import write_package

PROJECT = Path(__file__).resolve().parents[2]

OF_EVERY_DESTINATION = {"SINK_TYPE", "Options", "build"}
"""The face of a destination is the same for each: the registry takes `SINK_TYPE` by that name, and
anyone who makes one sink alone imports the others.
"""

NOT_IN_THE_FACE: dict[str, str] = {
    "tracesidecar.daemon.recoverer": "for `recover` alone; the daemon does without",
    "tracesidecar.introspect.archives": "for `recover` and `scan` alone; it loads zstandard",
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
    "tracesidecar.sanitize.detect.encoded_text": "it loads the engine; light commands do without",
    "tracesidecar.sanitize.edit.line_editor": "it loads the detectors; light commands do without",
    "tracesidecar.sanitize.sanitizer": "it loads the detectors, which light commands do without",
    "tracesidecar.tail.build": "for the daemon alone; it loads all that follows files",
    "tracesidecar.tail.discovery.watcher": "it loads watchdog, which light commands do without",
    "tracesidecar.tail.tailer": "it loads all that follows files; light commands do without",
    "tracesidecar.sinks.transport.http_endpoint": "it loads aiohttp, for HTTP sinks alone",
    "tracesidecar.sinks.transport.record_sink": "it loads aiohttp, for HTTP sinks alone",
    "tracesidecar.sinks.directory": "the embedded default makes its options, typed; the face loads "
    "no destination",
}
"""Modules that outsiders import directly, with the reason why the face does not have them."""

NO_FACE: dict[str, str] = {
    "tracesidecar.introspect": "each command loads the one module that it shows",
    "tracesidecar.tail.discovery": "its modules and those of `holding` need each other",
    "tracesidecar.tail.holding": "its modules and those of `discovery` need each other",
    "tracesidecar.tail.reading": "its modules and those of `holding` need each other",
    "tracesidecar.tail.tracking": "the face of `tail` needs one function of it, not the whole",
}
"""Packages whose `__init__` lists nothing, with the reason. A face inside `tail` would be a circle,
or load in light commands all that follows files. What is in such a package is private to the one
around it, whose face stands for it.
"""


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
    """Return the imports that go past the face of a package, at any depth.

    The package around one without a face imports its modules.
    """
    deep = []
    for package in packages(tree):
        around = package.rpartition(".")[0] if package in NO_FACE else tree.package
        listed = names_in_all(tree, package)
        for found in from_outside(tree, package):
            is_listed_module = found.target.removeprefix(f"{package}.") in listed
            is_private = around != tree.package and is_in(found.module, around)
            # what is outside of the package around it is held by that package's face
            is_further_out = package.count(".") > 1 and not is_in(
                found.module, package.rpartition(".")[0]
            )
            if found.target != package and not (is_listed_module or is_private or is_further_out):
                deep.append(str(found))
    return deep


def list_faceless(tree: SourceTree) -> set[str]:
    """Return the packages that list nothing, though somebody outside imports something in them."""
    return {
        package
        for package in packages(tree)
        if not names_in_all(tree, package)
        and any(found.target != package for found in from_outside(tree, package))
    }


def is_known(place: str, known: Collection[str]) -> bool:
    """Return whether what is imported is one of these modules, or in one."""
    return any(is_in(place.split(" imports ")[1].split(maxsplit=1)[0], module) for module in known)


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
    assert not [place for place in found if not is_known(place, NOT_IN_THE_FACE)]


def test_every_package_has_a_face_or_a_reason() -> None:
    assert list_faceless(tracesidecar()) == set(NO_FACE)


def test_every_exception_of_the_faces_is_still_needed() -> None:
    found = deep_imports(tracesidecar())
    assert not [
        known for known in NOT_IN_THE_FACE if not any(is_known(place, [known]) for place in found)
    ]


def test_a_package_inside_a_package_is_held_too(tmp_path: Path) -> None:
    tree = write_package(
        tmp_path,
        {
            "tail/reading/reader.py": "",
            "tail/tailer.py": "from made.tail.reading.reader import read",
            "cli/run.py": "from made.tail.reading import reader",
        },
    )
    assert list_faceless(tree) == {"made.tail", "made.tail.reading"}
    assert {place.partition(":")[0] for place in deep_imports(tree)} == {
        "made.tail.tailer",
        "made.cli.run",
    }


def test_a_face_lists_only_what_somebody_imports() -> None:
    tests, bench = SourceTree(PROJECT / "tests"), SourceTree(PROJECT / "bench")
    assert not find_unused_names(tracesidecar(), [tests, bench])
