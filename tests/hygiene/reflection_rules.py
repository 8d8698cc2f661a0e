"""What reaches a class or a module in a way that the source does not show.

The rules about imports and about who makes a CleanChunk read names. So nothing may be reached by a
computed name, be made of bytes, or be read out of annotations, but where a reason says what it is.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from tests.hygiene.source_tree import SourceTree, last_name

MAKERS = {
    "pickle", "_pickle", "cPickle", "marshal", "shelve", "copyreg", "dill", "cloudpickle",
    "joblib", "ctypes", "cffi", "gc", "inspect", "annotationlib", "builtins",
}  # fmt: skip
"""Modules that make objects of bytes or of memory, or list what there is."""

READERS = {"get_type_hints", "get_annotations", "get_overloads"}
"""Functions whose result has the classes of annotations."""

READING_BUILTINS = {"vars", "globals", "locals", "compile"}
"""Functions whose result has every name of a module, or is code."""

READING_ATTRIBUTES = {
    "__annotations__", "__annotate__", "__dataclass_fields__", "__dict__", "__globals__",
    "__subclasses__", "__getattribute__", "__builtins__", "__reduce__", "__reduce_ex__",
}  # fmt: skip
BY_NAME = {"getattr": 1, "setattr": 1, "delattr": 1, "attrgetter": 0, "methodcaller": 0}
"""Functions that take the name of an attribute, and where it stands."""


def reflection(
    tree: SourceTree, allowed: Collection[str] = (), modules: Collection[str] = ()
) -> list[str]:
    """Return the places where a name is computed, or where objects are made of something else.

    `allowed` has `module: value`, where the value is what attributes are read of or written to,
    `module: call` for a function that reads annotations, `module: import ctypes`, or `module: name`
    of another module that is handed on. Without `modules`, all are searched.
    """
    return [
        f"{module}:{getattr(node, 'lineno', 0)} {ast.unparse(node)}"
        for module in modules or tree.modules
        for node in (
            *_by_name(tree, module, allowed),
            *_readers(tree, module, allowed),
            *_makers(tree, module, allowed),
            *_modules_as_values(tree, module, allowed),
        )
    ]


def _by_name(tree: SourceTree, module: str, allowed: Collection[str]) -> Iterator[ast.AST]:
    nodes = tree.nodes[module]
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if isinstance(node, ast.Call) and (function := last_name(node.func)) in BY_NAME:
            at = BY_NAME[function]
            is_read = function not in ("setattr", "delattr") and not node.keywords
            names = node.args[at:] if function == "attrgetter" else node.args[at : at + 1]
            is_literal = bool(names) and all(
                isinstance(each, ast.Constant) and "__" not in str(each.value) for each in names
            )
            value = ast.unparse(node.args[0]) if node.args and at else function
            if not (is_read and is_literal) and f"{module}: {value}" not in allowed:
                yield node
        elif isinstance(node, ast.alias):
            if node.name in BY_NAME.keys() | READERS and node.asname:
                yield node
        elif (
            isinstance(node, ast.Name | ast.Attribute)
            and last_name(node) in BY_NAME
            and id(node) not in called
        ):
            yield node


def _readers(tree: SourceTree, module: str, allowed: Collection[str]) -> Iterator[ast.AST]:
    calls = {
        id(node.func): ast.unparse(node)
        for node in tree.nodes[module]
        if isinstance(node, ast.Call)
    }
    for node in tree.nodes[module]:
        name = last_name(node)
        is_reader = name in READERS or (isinstance(node, ast.Name) and name in READING_BUILTINS)
        if name in READING_ATTRIBUTES or (
            is_reader and f"{module}: {calls.get(id(node), '')}" not in allowed
        ):
            yield node


def _makers(tree: SourceTree, module: str, allowed: Collection[str]) -> Iterator[ast.AST]:
    for node in tree.nodes[module]:
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names} & MAKERS
            if names and f"{module}: {ast.unparse(node)}" not in allowed:
                yield node
        elif isinstance(node, ast.ImportFrom) and not node.level:
            origin = (node.module or "").partition(".")[0]
            if origin in MAKERS:
                yield node


def _modules_as_values(
    tree: SourceTree, module: str, allowed: Collection[str]
) -> Iterator[ast.AST]:
    """Yield the modules of this tree that stand anywhere but before a dot.

    Whoever gets one as a value can take anything from it.
    """
    nodes = tree.nodes[module]
    before_a_dot = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    bound = tree.find_modules(module)
    for node in nodes:
        if not isinstance(node, ast.Name | ast.Attribute) or id(node) in before_a_dot:
            continue
        root, *steps = ast.unparse(node).split(".")
        target = ".".join([bound[root], *steps]) if root in bound else ""
        is_allowed = f"{module}: {ast.unparse(node)}" in allowed or _is_in_the_face(tree, target)
        if target in tree.modules and not is_allowed:
            yield node
    statements = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Call) and id(node) not in statements:
            target = tree.literal_import(module, node)
            if last_name(node.func) in tree.importers(module) and target in tree.modules:
                yield node


def _is_in_the_face(tree: SourceTree, target: str) -> bool:
    """Return whether a package has something else under the name of this module (`config.load`)."""
    package, _, name = target.rpartition(".")
    return target in tree.modules and any(
        isinstance(node, ast.ImportFrom)
        and any((alias.asname or alias.name) == name for alias in node.names)
        for node in (tree.modules[package].body if package else ())
    )
