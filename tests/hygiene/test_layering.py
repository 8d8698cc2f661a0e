"""Imports point one way, sinks stand alone, and a client of the outside world has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "tracesidecar"

LAYERS = (
    {"__init__"},
    {"model", "errors", "units", "logs", "metrics"},
    {"tail", "sanitize", "dialects"},
    {"encode"},
    {"ddl"},
    {"sinks"},
    {"deliver"},
    {"journal"},
    {"batch"},
    {"lake"},
    {"config"},
    {"pipeline"},
    {"introspect"},
    {"daemon"},
    {"cli"},
    {"__main__"},
)
"""A part may import itself and what stands in a line above its own; within the foundation (second
line) everybody may import each other.
"""

FOUNDATION = LAYERS[1]
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "core", "common"}

HOMES = {
    "awscrt": {"tracesidecar.sinks.object_store.s3.checksums"},
    "azure": {"tracesidecar.sinks.object_store.azure.client"},
    "boto3": {"tracesidecar.sinks.object_store.s3.client"},
    "botocore": {"tracesidecar.sinks.object_store.s3.client"},
    "confluent_kafka": {"tracesidecar.sinks.kafka.producer"},
    "hyperscan": {"tracesidecar.sanitize"},
    "re2": {"tracesidecar.sanitize"},
    "watchdog": {"tracesidecar.tail.discovery.watcher"},
    "prometheus_client": {"tracesidecar.metrics"},
    "aiohttp": {
        "tracesidecar.sinks.transport.http_client",
        "tracesidecar.sinks.transport.http_responses",
    },
    "aiofiles": {"tracesidecar.sinks.directory.sink", "tracesidecar.sinks.directory.atomic_files"},
    "opentelemetry": {"tracesidecar.encode.otlp_request"},
    "google": {
        "tracesidecar.encode.otlp_request",
        "tracesidecar.sinks.object_store.gcs.client",
        "tracesidecar.sinks.object_store.gcs.credentials",
    },
    "google_crc32c": {"tracesidecar.sinks.object_store.gcs.client"},
    "requests": {"tracesidecar.sinks.object_store.gcs.client"},
    "pyrage": {"tracesidecar.journal.sealing"},
    "rich": {"tracesidecar.cli"},
    "pyarrow": {"tracesidecar.encode.parquet", "tracesidecar.lake"},
    "duckdb": {"tracesidecar.ddl.apply", "tracesidecar.sinks.sql.duckdb"},
    "psycopg": {
        "tracesidecar.ddl.apply",
        "tracesidecar.sinks.sql.postgres",
        "tracesidecar.sinks.sql.postgres_connection",
    },
    "tomli": {"tracesidecar.config", "tracesidecar.sanitize"},
}
"""Where a third-party package may be imported: in that module, or in that part."""

DECODERS = ("tracesidecar.config.", "tracesidecar.sinks.object_store.s3.client:")
"""Where what comes from outside has no type yet: the configuration, and the answers of an SDK that
has none.
"""

SINKS = (
    "azure",
    "datadog",
    "directory",
    "elasticsearch",
    "gcs",
    "http",
    "kafka",
    "loki",
    "otlp",
    "relp",
    "s3",
    "splunk",
    "stdout",
    "syslog",
    "sql",
)


@dataclass(frozen=True)
class Import:
    """One import: which module has it, and what it names."""

    where: str
    name: str
    line: int

    def __str__(self) -> str:
        return f"{self.where}:{self.line} imports {self.name}"


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        yield dotted.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def imports() -> Iterator[Import]:
    """Every import, also those inside functions and under TYPE_CHECKING."""
    for where, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (Import(where, alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{where}:{node.lineno}: a relative import"
                for alias in node.names:
                    is_module = (PACKAGE.parent / Path(*(node.module or "").split("."))).is_dir()
                    yield Import(
                        where,
                        f"{node.module}.{alias.name}" if is_module else str(node.module),
                        node.lineno,
                    )


def part(module: str) -> str:
    """The stage or file right below the package; a name of the package itself, such as its version,
    belongs to `__init__`.
    """
    name = module.split(".")[1] if "." in module else "__init__"
    return name if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists() else "__init__"


def layer(module: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if part(module) in names)


def test_every_part_has_its_layer() -> None:
    known = {name for names in LAYERS for name in names}
    found = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found <= known


def test_imports_point_one_way() -> None:
    own = [found for found in imports() if found.name.split(".")[0] == "tracesidecar"]
    against = [
        str(found)
        for found in own
        if part(found.where) != part(found.name)
        and layer(found.name) >= layer(found.where)
        and not {part(found.where), part(found.name)} <= FOUNDATION
    ]
    assert not against
    assert len(own) > 20


@pytest.mark.parametrize("name", SINKS)
def test_no_sink_imports_another(name: str) -> None:
    others = {f"tracesidecar.sinks.{other}" for other in SINKS if other != name}
    assert not [
        str(found)
        for found in imports()
        if found.where == f"tracesidecar.sinks.{name}" and found.name in others
    ]


@pytest.mark.parametrize("package", HOMES)
def test_a_client_of_the_outside_world_has_one_home(package: str) -> None:
    found = [found for found in imports() if found.name.split(".")[0] == package]
    strangers = [
        str(one)
        for one in found
        if not any(f"{one.where}.".startswith(f"{home}.") for home in HOMES[package])
    ]
    assert not strangers


def test_nothing_is_called_utils() -> None:
    assert not [
        name for name, _ in modules() if FORBIDDEN_NAMES & set(name.split(".")[-1].split("_"))
    ]


def test_any_stays_where_something_is_decoded() -> None:
    loose = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node).lower().startswith("dict[str, any")
    ]
    assert not [place for place in loose if not place.startswith(DECODERS)]


def test_no_error_is_swallowed_and_no_task_is_let_loose() -> None:
    found = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or all(isinstance(step, ast.Pass) for step in node.body)
            ):
                found.append(f"{name}:{node.lineno} except")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "asyncio.create_task",
                "asyncio.ensure_future",
                "loop.create_task",
            }:
                found.append(f"{name}:{node.lineno} {ast.unparse(node.func)}")
    assert not found
