"""A package's source, parsed once: its modules, and which of them imports which."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "tracesidecar"


IMPORTERS = {"import_module", "__import__"}


@dataclass(frozen=True)
class Import:
    """One imported name, also where it is imported inside a function or under TYPE_CHECKING.

    `target` is the module of the tree that is loaded for it, or the dotted name of an import from
    elsewhere. `name` is what is taken from the target, empty for the module itself.
    """

    module: str
    target: str
    name: str
    alias: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target} {self.name}".rstrip()


def last_name(node: ast.AST) -> str:
    """Return `c` for `c` and for `a.b.c`, and nothing for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _without(keywords: dict[str | None, ast.expr], name: str) -> Sequence[ast.expr]:
    return [value for key, value in keywords.items() if key != name]


class SourceTree:
    """The modules of the package at `root`, by dotted name.

    A package has its own name, without `__init__`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = root.name
        self.modules = {
            self._name_module(path): ast.parse(path.read_text(encoding="utf-8"), str(path))
            for path in sorted(root.rglob("*.py"))
        }

    def _name_module(self, path: Path) -> str:
        parts = path.relative_to(self.root.parent).with_suffix("").parts
        return ".".join(parts).removesuffix(".__init__")

    @cached_property
    def nodes(self) -> dict[str, list[ast.AST]]:
        """Every node of every module, in the order of `ast.walk`."""
        return {module: list(ast.walk(tree)) for module, tree in self.modules.items()}

    @cached_property
    def imports_of(self) -> dict[str, list[Import]]:
        """The imports of each module."""
        return {module: list(self._imports_of(module)) for module in self.modules}

    @cached_property
    def imports(self) -> list[Import]:
        """Every import of every module."""
        return [found for imports in self.imports_of.values() for found in imports]

    def _imports_of(self, module: str) -> Iterator[Import]:
        for node in self.nodes[module]:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    yield Import(module, alias.name, "", bound, node.lineno)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(module, node)
                for alias in node.names:
                    bound = alias.asname or alias.name
                    inner = f"{base}.{alias.name}"
                    if inner in self.modules:
                        yield Import(module, inner, "", bound, node.lineno)
                    else:
                        yield Import(module, base, alias.name, bound, node.lineno)
        yield from self._imports_by_call(module)
        yield from self._imports_by_attribute(module)

    def _imports_by_call(self, module: str) -> Iterator[Import]:
        for node in self.nodes[module]:
            if (
                isinstance(node, ast.Call)
                and last_name(node.func) in self.importers(module)
                and (name := self.literal_import(module, node))
            ):
                yield Import(module, name, "", "", node.lineno)

    def importers(self, module: str) -> set[str]:
        """Return the names under which a module calls `import_module` and `__import__`."""
        return IMPORTERS | {
            alias.asname
            for node in self.nodes[module]
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.asname and alias.name in IMPORTERS
        }

    def literal_import(self, module: str, call: ast.Call) -> str:
        """Return the module that a call of `import_module` or `__import__` loads.

        It is empty where the name is no literal, or is relative to more than `__package__`.
        """
        keywords = {each.arg: each.value for each in call.keywords}
        given = [*call.args[:1], *(keywords[key] for key in ("name",) if key in keywords)]
        if len(given) != 1 or not isinstance(given[0], ast.Constant):
            return ""
        name, others = str(given[0].value), [*call.args[1:], *_without(keywords, "name")]
        if not name.startswith("."):
            return "" if others else name
        if [ast.unparse(each) for each in others] != ["__package__"]:
            return ""
        rest = name.lstrip(".")
        return self._relative(module, len(name) - len(rest), rest)

    def _imports_by_attribute(self, module: str) -> Iterator[Import]:
        """Yield what is reached by attributes: `import tracesidecar` loads `tracesidecar.sinks`.

        So it does once anyone has imported that module.
        """
        bound = self.find_modules(module)
        inner = {id(n.value) for n in self.nodes[module] if isinstance(n, ast.Attribute)}
        for node in self.nodes[module]:
            if not isinstance(node, ast.Attribute) or id(node) in inner:
                continue
            root, *steps = ast.unparse(node).split(".")
            if root not in bound:
                continue
            for length in range(len(steps), 0, -1):
                target = ".".join([bound[root], *steps[:length]])
                if target in self.modules:
                    yield Import(module, target, "", "", node.lineno)
                    break

    def find_modules(self, module: str) -> dict[str, str]:
        """Return the names in a module that stand for a module of the tree."""
        bound = {}
        for node in self.nodes[module]:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    bound[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom):
                base = self._base(module, node)
                for alias in node.names:
                    bound[alias.asname or alias.name] = f"{base}.{alias.name}"
        return {name: target for name, target in bound.items() if target in self.modules}

    def _base(self, module: str, node: ast.ImportFrom) -> str:
        return self._relative(module, node.level, node.module or "")

    def _relative(self, module: str, level: int, name: str) -> str:
        """Return the dotted name of what is imported with so many dots before it."""
        if not level:
            return name
        is_package = (self.root.parent / Path(*module.split(".")) / "__init__.py").exists()
        parts = module.split(".")
        parts = parts[: len(parts) - level + is_package]
        return ".".join([*parts, name] if name else parts)

    @cached_property
    def own_imports(self) -> list[Import]:
        """The imports of modules of this tree.

        Python also runs the `__init__` of every package above an imported module. That is no edge
        here: a module depends on what it names.
        """
        return [found for found in self.imports if found.target in self.modules]

    @cached_property
    def graph(self) -> dict[str, set[str]]:
        """Which modules each module imports."""
        graph: dict[str, set[str]] = {module: set() for module in self.modules}
        for found in self.own_imports:
            if found.target != found.module:
                graph[found.module].add(found.target)
        return graph

    def circles(self) -> list[list[str]]:
        """Return the groups of modules that reach each other through imports, by Tarjan."""
        number: dict[str, int] = {}
        lowest: dict[str, int] = {}
        path: list[str] = []
        circles: list[list[str]] = []

        def visit(module: str) -> None:
            number[module] = lowest[module] = len(number)
            path.append(module)
            for target in sorted(self.graph[module]):
                if target not in number:
                    visit(target)
                    lowest[module] = min(lowest[module], lowest[target])
                elif target in path:
                    lowest[module] = min(lowest[module], number[target])
            if lowest[module] == number[module]:
                at = path.index(module)
                group = sorted(path[at:])
                del path[at:]
                if len(group) > 1:
                    circles.append(group)

        for module in sorted(self.graph):
            if module not in number:
                visit(module)
        return circles

    def part(self, module: str) -> str:
        """Return the folder or file right below the package that a module belongs to.

        The package itself is `__init__`.
        """
        _, _, rest = module.partition(".")
        return rest.partition(".")[0] or "__init__"


@cache
def tracesidecar() -> SourceTree:
    """Return the source of tracesidecar, parsed at the first call."""
    return SourceTree(PACKAGE)
