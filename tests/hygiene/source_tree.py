"""A package's source, parsed once: its modules, and which of them imports which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "tracesidecar"


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


class SourceTree:
    """The modules of the package at `root`, by dotted name.

    A package has its own name, without `__init__`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = root.name
        self.modules = {
            self._dotted(path): ast.parse(path.read_text(encoding="utf-8"), str(path))
            for path in sorted(root.rglob("*.py"))
        }

    def _dotted(self, path: Path) -> str:
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
            elif isinstance(node, ast.Call) and last_name(node.func) == "import_module":
                for name in node.args[:1]:
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        yield Import(module, name.value, "", "", node.lineno)

    def _base(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        is_package = (self.root.parent / Path(*module.split(".")) / "__init__.py").exists()
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        return ".".join([*parts, node.module] if node.module else parts)

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
