"""What may import what, and who may make a CleanChunk: each rule returns the places that break it.

The rules go by place, so that a new module or destination is held by them without being listed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from tests.hygiene.source_tree import SourceTree, last_name

CLEAN = "CleanChunk"
SANITIZE = "sanitize"
COPIES = {"replace", "copy", "deepcopy"}
"""`dataclasses.replace`, `copy.replace`, `copy.copy`, `copy.deepcopy`: each returns a new value."""


def against_the_layers(
    tree: SourceTree, layers: Sequence[set[str]], foundation: set[str]
) -> list[str]:
    """Return the imports of a part by one that stands in the same layer or a lower one.

    The parts of the foundation may import each other.
    """
    height = {part: number for number, parts in enumerate(layers) for part in parts}
    broken = []
    for found in tree.own_imports:
        importer, imported = tree.part(found.module), tree.part(found.target)
        if importer == imported or {importer, imported} <= foundation:
            continue
        if height[imported] >= height[importer]:
            broken.append(str(found))
    return broken


def destinations(tree: SourceTree) -> set[str]:
    """Return the folders below `sinks` that are a destination.

    These are the folders with a `sink` module, but for one that has destinations inside it: its
    `sink` module is what they share.
    """
    sinks = f"{tree.package}.sinks"
    folders = {
        module.removesuffix(".sink")
        for module in tree.modules
        if module.startswith(f"{sinks}.") and module.endswith(".sink")
    } - {sinks}
    return {
        folder for folder in folders if not any(other.startswith(f"{folder}.") for other in folders)
    }


def foreign_destinations(tree: SourceTree) -> list[str]:
    """Return the imports inside `sinks` that go beyond what a destination may know.

    A destination may import the contract (`sinks.sink`, `sinks.options`), `sinks.transport`, its
    own folder, and the modules right in the folder above it where that is not `sinks` itself (the
    three stores share `sinks.object_store`). What destinations share imports no destination.
    """
    sinks = f"{tree.package}.sinks"
    known = destinations(tree)
    shared = {f"{sinks}.sink", f"{sinks}.options"}

    def home(module: str) -> str:
        return next((at for at in known if is_in(module, at)), "")

    broken = []
    for found in tree.own_imports:
        if not is_in(found.module, sinks) or not is_in(found.target, sinks):
            continue
        own, other = home(found.module), home(found.target)
        if own == other:
            continue
        family, above = own.rpartition(".")[0], found.target.rpartition(".")[0]
        may_share = (
            found.target in shared
            or is_in(found.target, f"{sinks}.transport")
            or above == family != sinks
        )
        if other or not may_share:
            broken.append(str(found))
    return broken


def is_in(module: str, folder: str) -> bool:
    """Return whether the module is the folder's own or below it."""
    return module == folder or module.startswith(f"{folder}.")


def clean_chunks_made_outside_sanitize(tree: SourceTree) -> list[str]:
    """Return the places outside `sanitize` where a CleanChunk is, or could be, made.

    The class may be named there only as a type: in annotations and in `isinstance`. Any other use
    of it counts (a call, an alias, a subclass, `__new__`, an argument of `map`), and so does a copy
    with changes of a value that is annotated as one, or a call of its type.
    """
    fields = _fields_with_clean_chunks(tree)
    return [
        f"{module}:{node.lineno} {ast.unparse(node)}"
        for module in tree.modules
        if tree.part(module) != SANITIZE
        for node in (*_references(tree, module), *_copies(tree, module, fields))
    ]


def _references(tree: SourceTree, module: str) -> Iterator[ast.Name | ast.Attribute]:
    names = {CLEAN} | {
        found.alias for found in tree.imports_of[module] if found.name == CLEAN and found.alias
    }
    as_type = {id(inner) for node in _types(tree.nodes[module]) for inner in ast.walk(node)} - {
        id(node.func) for node in tree.nodes[module] if isinstance(node, ast.Call)
    }
    for node in tree.nodes[module]:
        is_clean = (isinstance(node, ast.Name) and node.id in names) or (
            isinstance(node, ast.Attribute) and node.attr == CLEAN
        )
        if is_clean and id(node) not in as_type:
            assert isinstance(node, ast.Name | ast.Attribute)
            yield node


def _types(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield the expressions that only name a type."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.returns:
                yield node.returns
        elif isinstance(node, ast.arg | ast.AnnAssign):
            if node.annotation:
                yield node.annotation
        elif isinstance(node, ast.Call) and last_name(node.func) in {"isinstance", "issubclass"}:
            yield from node.args[1:]
        elif isinstance(node, ast.Call) and last_name(node.func) == "cast":
            yield from node.args[:1]
        elif isinstance(node, ast.Subscript):
            # list[CleanChunk](...) makes a list; the type in the brackets makes nothing
            yield node.slice
        elif isinstance(node, ast.MatchClass):
            yield node.cls


def _copies(tree: SourceTree, module: str, fields: set[str]) -> Iterator[ast.Call]:
    nodes = tree.nodes[module]
    typed = set(fields)
    for node in nodes:
        if isinstance(node, ast.arg) and node.annotation and _names_clean(node.annotation):
            typed.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and _names_clean(node.annotation):
            typed.add(last_name(node.target))
    copying = COPIES | {found.alias for found in tree.imports_of[module] if found.name in COPIES}
    for node in nodes:
        if isinstance(node, ast.Call) and _copied(node, copying) in typed:
            yield node


def _copied(call: ast.Call, copying: set[str]) -> str:
    """Return the name of the value that a call makes another of, or nothing."""
    called = last_name(call.func)
    if called in copying and call.args:
        return last_name(call.args[0])
    if called in {"__replace__", "__class__"} and isinstance(call.func, ast.Attribute):
        return last_name(call.func.value)
    if isinstance(call.func, ast.Call) and last_name(call.func.func) == "type":
        return last_name(call.func.args[0])
    return ""


def _names_clean(annotation: ast.AST) -> bool:
    return any(
        last_name(node) == CLEAN
        or (isinstance(node, ast.Constant) and isinstance(node.value, str) and CLEAN in node.value)
        for node in ast.walk(annotation)
    )


def _fields_with_clean_chunks(tree: SourceTree) -> set[str]:
    """Return the names of the fields of all classes that hold a CleanChunk."""
    return {
        last_name(step.target)
        for nodes in tree.nodes.values()
        for node in nodes
        if isinstance(node, ast.ClassDef)
        for step in node.body
        if isinstance(step, ast.AnnAssign) and _names_clean(step.annotation)
    }


def circles(tree: SourceTree) -> list[str]:
    """Return the groups of modules that import each other, also inside functions or for types."""
    return [", ".join(group) for group in tree.circles()]


def imports_away_from_home(tree: SourceTree, package: str, homes: set[str]) -> list[str]:
    """Return the imports of a third-party package outside its homes (modules or folders)."""
    return [
        str(found)
        for found in tree.imports
        if is_in(found.target, package) and not any(is_in(found.module, home) for home in homes)
    ]
