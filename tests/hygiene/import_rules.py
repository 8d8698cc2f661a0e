"""What may import what, and who may make a CleanChunk: each rule returns the places that break it.

The rules go by place, so that a new module or destination is held by them without being listed.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence

from tests.hygiene.source_tree import IMPORTERS, SourceTree, last_name

CLEAN = "CleanChunk"
SANITIZE = "sanitize"
COPIES = {"replace", "copy", "deepcopy"}
"""`dataclasses.replace`, `copy.replace`, `copy.copy`, `copy.deepcopy`: each returns a new value."""

COPYING_MODULES = {"copy", "dataclasses", "msgspec.structs", "structs"}
RAW_METHODS = {"__new__", "__setattr__", "__replace__", "__setstate__"}
"""Methods that make or change an instance of a frozen class, past its constructor."""

LOADERS = {
    "resolve_name", "module_from_spec", "spec_from_file_location", "SourceFileLoader",
    "load_module", "reload", "run_module", "run_path", "eval", "exec",
}  # fmt: skip
"""Functions that run or find a module by a name or a text that this tree cannot follow."""


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

    A destination may import the contract (`sinks.sink`, `options`, `exposure`), `sinks.transport`,
    its own folder, and the modules right in the folder above it where that is not `sinks` itself
    (the three stores share `sinks.object_store`). What destinations share imports no destination.
    """
    sinks = f"{tree.package}.sinks"
    known = destinations(tree)
    shared = {f"{sinks}.sink", f"{sinks}.options", f"{sinks}.exposure"}

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


def dynamic_imports(tree: SourceTree, allowed: Collection[str]) -> list[str]:
    """Return the imports whose module cannot be read from the source, outside the allowed modules.

    These are `import_module` and `__import__` with anything but a literal, or under another name;
    `sys.modules`; `runpy`, and what else loads a module by its name.
    """
    return [
        f"{module}:{getattr(node, 'lineno', 0)} {ast.unparse(node)}"
        for module in tree.modules
        if module not in allowed
        for node in _dynamic_imports(tree, module)
    ]


def _dynamic_imports(tree: SourceTree, module: str) -> Iterator[ast.AST]:
    nodes, importers = tree.nodes[module], tree.importers(module)
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        name = last_name(node)
        if isinstance(node, ast.Call) and last_name(node.func) in importers:
            if not tree.literal_import(module, node):
                yield node
        elif (name in importers and id(node) not in called) or (
            isinstance(node, ast.Constant) and node.value in IMPORTERS
        ):
            yield node
        elif isinstance(node, ast.Name | ast.Attribute):
            is_loader = name in LOADERS and (isinstance(node, ast.Name) or _is_loader(node))
            if is_loader or ast.unparse(node) == "sys.modules":
                yield node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            taken = {alias.name for alias in node.names}
            origin = node.module if isinstance(node, ast.ImportFrom) else ""
            if (
                {"runpy", "imp"} & {*taken, origin}
                or (origin == "sys" and "modules" in taken)
                or (
                    (origin or "").partition(".")[0] in {"importlib", "pkgutil"} and taken & LOADERS
                )
            ):
                yield node


def _is_loader(node: ast.Attribute) -> bool:
    """Return whether the attribute is one of a module that loads modules, and no own method."""
    root = ast.unparse(node.value).partition(".")[0]
    return root in {"importlib", "pkgutil", "runpy", "builtins", "imp"}


def clean_chunks_made_outside_sanitize(
    tree: SourceTree, other_copies: Collection[str] = (), holders: Collection[str] = ()
) -> list[str]:
    """Return the places outside `sanitize` where a CleanChunk is, or could be, made.

    Its name may stand there only in an import, in `__all__`, in an annotation (but `type[…]`) and
    in `isinstance`. No copy of anything may set a field that a CleanChunk has, unless
    `other_copies` has `module: value`, and nothing may be made or changed past a constructor. A
    class with a CleanChunk in a field is one of `holders`, and no decoder may make it.
    """
    typed = _fields_with_clean_chunks(tree)
    fields = {
        last_name(step.target)
        for nodes in tree.nodes.values()
        for node in nodes
        if isinstance(node, ast.ClassDef) and node.name == CLEAN
        for step in node.body
        if isinstance(step, ast.AnnAssign)
    }
    return [
        f"{module}:{getattr(node, 'lineno', 0)} {ast.unparse(node)}"
        for module in tree.modules
        if tree.part(module) != SANITIZE
        for node in (
            *_mentions(tree, module),
            *_copies(tree, module, typed),
            *_changes(tree, module, fields, other_copies),
            *_find_made_past_the_constructor(tree.nodes[module]),
            *_decodable(tree, module, holders),
        )
    ]


def _decodable(tree: SourceTree, module: str, holders: Collection[str]) -> Iterator[ast.AST]:
    """Yield the classes that hold a CleanChunk, and are a struct or no known holder.

    A decoder makes a value of every field (of a struct, dataclass, NamedTuple or TypedDict). So
    too what names a holder in a call, or as a type variable: a decoder can be under any name.
    """
    for node in tree.nodes[module]:
        if isinstance(node, ast.ClassDef):
            is_holder = any(
                isinstance(step, ast.AnnAssign)
                and (_names_clean(step.annotation) or _names(step.annotation, holders))
                for step in node.body
            )
            if is_holder and (node.name not in holders or node.bases or node.keywords):
                yield node
        elif isinstance(node, ast.Call):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if last_name(node.func) != "isinstance" and any(
                _is_a_type(each, holders) for each in given
            ):
                yield node


def _is_a_type(node: ast.AST, holders: Collection[str]) -> bool:
    """Return whether a value is one of these classes, or a generic of one."""
    if isinstance(node, ast.Subscript):
        return _is_a_type(node.value, holders) or _is_a_type(node.slice, holders)
    if isinstance(node, ast.Tuple | ast.List):
        return any(_is_a_type(each, holders) for each in node.elts)
    if isinstance(node, ast.BinOp):
        return _is_a_type(node.left, holders) or _is_a_type(node.right, holders)
    return last_name(node) in holders


def _names(annotation: ast.AST, names: Collection[str]) -> bool:
    return any(
        last_name(node) in names
        or (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and any(name in node.value for name in names)
        )
        for node in ast.walk(annotation)
    )


def _mentions(tree: SourceTree, module: str) -> Iterator[ast.AST]:
    nodes = tree.nodes[module]
    allowed = {id(inner) for node in _types(nodes) for inner in _inside(node)}
    allowed |= {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Assign) and last_name(node.targets[0]) == "__all__":
            allowed |= {id(inner) for inner in ast.walk(node.value)}
    for node in nodes:
        is_mention = last_name(node) == CLEAN or (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and CLEAN in node.value
        )
        is_renamed = isinstance(node, ast.alias) and node.name == CLEAN and node.asname
        if (is_mention and id(node) not in allowed) or is_renamed:
            yield node


def _types(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield the annotations, and the types that `isinstance` compares with."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.returns:
                yield node.returns
        elif isinstance(node, ast.arg | ast.AnnAssign):
            if node.annotation:
                yield node.annotation
        elif isinstance(node, ast.Call) and last_name(node.func) == "isinstance":
            yield from (each for each in node.args[1:] if _is_plain(each))


def _is_plain(node: ast.AST) -> bool:
    """Return whether a type to compare with is a name, or several: nothing is bound or computed."""
    if isinstance(node, ast.Tuple):
        return all(map(_is_plain, node.elts))
    if isinstance(node, ast.BinOp):
        return _is_plain(node.left) and _is_plain(node.right)
    return isinstance(node, ast.Name | ast.Attribute)


def _inside(annotation: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of an annotation, without calls and without the class itself: `type[…]`."""
    is_class = isinstance(annotation, ast.Subscript) and last_name(annotation.value) in {
        "type",
        "Type",
    }
    is_text = isinstance(annotation, ast.Constant) and "type[" in str(annotation.value).lower()
    if isinstance(annotation, ast.Call) or is_class or is_text:
        return
    yield annotation
    for inner in ast.iter_child_nodes(annotation):
        yield from _inside(inner)


def _copies(tree: SourceTree, module: str, fields: set[str]) -> Iterator[ast.AST]:
    """Yield the copies of a value that is annotated as a CleanChunk."""
    nodes = tree.nodes[module]
    typed = set(fields)
    for node in nodes:
        if isinstance(node, ast.arg) and node.annotation and _names_clean(node.annotation):
            typed.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and _names_clean(node.annotation):
            typed.add(last_name(node.target))
    copying = COPIES | {found.alias for found in tree.imports_of[module] if found.name in COPIES}
    for node in nodes:
        if (
            isinstance(node, ast.Call)
            and last_name(node.func) in copying
            and node.args
            and last_name(node.args[0]) in typed
        ):
            yield node


def _changes(
    tree: SourceTree, module: str, fields: set[str], other_copies: Collection[str]
) -> Iterator[ast.AST]:
    """Yield the copies with a change to a field that a CleanChunk has, or with unknown changes.

    So too `replace` under another name, or as a value: what it then copies cannot be seen.
    """
    called = set()
    for node in tree.nodes[module]:
        if isinstance(node, ast.Call) and last_name(node.func) == "replace":
            called.add(id(node.func))
            changed = {keyword.arg for keyword in node.keywords}
            value = ast.unparse(node.args[0]) if node.args else ""
            if changed & {*fields, None} and f"{module}: {value}" not in other_copies:
                yield node
    for node in tree.nodes[module]:
        if isinstance(node, ast.ImportFrom) and node.module in COPYING_MODULES:
            yield from (alias for alias in node.names if alias.name in COPIES and alias.asname)
        elif isinstance(node, ast.Attribute) and node.attr == "replace" and id(node) not in called:
            if ast.unparse(node.value) in COPYING_MODULES:
                yield node
        elif isinstance(node, ast.Name) and node.id == "replace" and id(node) not in called:
            yield node


def _find_made_past_the_constructor(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield what makes a value by the type of another, or writes past `frozen`.

    The name of a type, a comparison with it, and a table by type make nothing.
    """
    looked_at = {
        id(inner)
        for node in nodes
        if isinstance(node, ast.Attribute | ast.Compare | ast.FormattedValue | ast.Subscript)
        for inner in ast.iter_child_nodes(node)
    }
    for node in nodes:
        is_type = (
            isinstance(node, ast.Call) and last_name(node.func) == "type" and len(node.args) == 1
        ) or (isinstance(node, ast.Attribute) and node.attr == "__class__")
        is_raw = isinstance(node, ast.Attribute) and node.attr in RAW_METHODS
        if is_raw or (is_type and id(node) not in looked_at):
            yield node


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
