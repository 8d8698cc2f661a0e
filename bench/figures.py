"""`make figures`: print the size and shape of the package, for people to look at. Nothing is held.

Lengths are those after formatting at 88 columns, so that trees of any line length compare.
"""

from __future__ import annotations

import ast
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.hygiene.source_tree import PACKAGE, Import, SourceTree

COLUMNS = 88
LONGEST = 8


def main(root: Path) -> None:
    """Print every figure of the package at `root`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(root, Path(folder) / root.name))
        ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--quiet"]
        subprocess.run([*ruff, "--line-length", str(COLUMNS), copy], check=True)
        print_all(SourceTree(copy))


def print_all(tree: SourceTree) -> None:
    """Print every figure of a package."""
    lines = {
        module: path_of(tree, module).read_text("utf-8").splitlines() for module in tree.modules
    }
    print(f"{len(tree.modules)} modules, {sum(map(len, lines.values())):,} lines\n")
    print_folders(tree)
    print_depth(tree)
    for title, kinds in (
        ("classes", (ast.ClassDef,)),
        ("functions", (ast.FunctionDef, ast.AsyncFunctionDef)),
    ):
        print_sizes(title, list(sizes(tree, kinds)))
    print_counts(tree)


def path_of(tree: SourceTree, module: str) -> Path:
    """Return the file of a module."""
    path = tree.root.parent / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def print_folders(tree: SourceTree) -> None:
    """Print how many modules each folder shows at a glance, the fullest first."""
    folders = Counter(
        str(path_of(tree, module).parent.relative_to(tree.root.parent)) for module in tree.modules
    )
    print("modules a folder")
    for folder, count in folders.most_common():
        print(f"  {count:4}  {folder}")


def print_depth(tree: SourceTree) -> None:
    """Print the longest chain of imports, with and without the faces of packages in it."""
    direct: dict[str, set[str]] = {module: set() for module in tree.modules}
    for found in tree.own_imports:
        target = find_definition(tree, found)
        if target != found.module:
            direct[found.module].add(target)
    print()
    for title, graph in (("import depth", tree.graph), ("without faces", direct)):
        depth, deepest = longest_chain(graph)
        print(f"{title}: {depth} (from {deepest})")
    print(f"circles of imports: {len(tree.circles())}")


def find_definition(tree: SourceTree, found: Import) -> str:
    """Return the module that defines what is imported, where a package passes it on."""
    for passed_on in tree.imports_of[found.target]:
        if found.name and passed_on.alias == found.name and passed_on.target in tree.modules:
            return find_definition(tree, passed_on)
    return found.target


def longest_chain(graph: dict[str, set[str]]) -> tuple[int, str]:
    """Return the length of the longest chain of imports, and the module that it begins with."""
    depths: dict[str, int] = {}
    on_the_way: set[str] = set()

    def depth(module: str) -> int:
        if module not in depths:
            on_the_way.add(module)
            below = [depth(target) for target in graph[module] if target not in on_the_way]
            on_the_way.discard(module)
            depths[module] = 1 + max(below, default=0)
        return depths[module]

    return max((depth(module), module) for module in graph)


def sizes(tree: SourceTree, kinds: tuple[type[ast.AST], ...]) -> Iterator[tuple[int, str]]:
    """Yield the length and the name of each class or function."""
    for module, nodes in tree.nodes.items():
        for node in nodes:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
                isinstance(node, kinds)
            ):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                yield length, f"{module.removeprefix('tracesidecar.')}.{node.name}"


def print_sizes(title: str, found: Sequence[tuple[int, str]]) -> None:
    """Print median, ninth decile and maximum, and the longest ones."""
    lengths = sorted(length for length, _ in found)
    ninth = lengths[int(len(lengths) * 0.9)]
    print(
        f"\n{len(found)} {title}, lines at {COLUMNS} columns: median"
        f" {statistics.median(lengths):.0f}, 90 % {ninth}, longest {lengths[-1]}"
    )
    for length, name in sorted(found, reverse=True)[:LONGEST]:
        print(f"  {length:4}  {name}")


def print_counts(tree: SourceTree) -> None:
    """Print what a reviewer asks for: casts, ignored types, names that mean several things."""
    casts: Counter[str] = Counter()
    classes: defaultdict[str, list[str]] = defaultdict(list)
    for module, nodes in tree.nodes.items():
        for node in nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"cast", "typing.cast"}:
                casts[tree.part(module)] += 1
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(module.removeprefix("tracesidecar."))
    text = ", ".join(f"{part} {count}" for part, count in casts.most_common())
    print(f"\n{casts.total()} casts: {text or 'none'}")
    several = {name: places for name, places in classes.items() if len(places) > 1}
    print(f"{len(several)} public class names with several meanings")
    for name, places in sorted(several.items(), key=lambda item: -len(item[1])):
        print(f"  {len(places):4}  {name}: {', '.join(places[:4])}{' …' * (len(places) > 4)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if sys.argv[1:] else PACKAGE)
