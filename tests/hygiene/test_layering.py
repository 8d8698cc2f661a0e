"""Imports point one way and in no circle, destinations stand alone, only `sanitize` makes a
CleanChunk, and a client of the outside world has one home.

`test_import_rules.py` shows that each rule catches what breaks it.
"""

from __future__ import annotations

import ast

import pytest

from tests.hygiene import import_rules, reflection_rules
from tests.hygiene.source_tree import tracesidecar

LAYERS = (
    {"__init__"},
    {
        "model",
        "errors",
        "exit_codes",
        "extras",
        "units",
        "masking",
        "logs",
        "metrics",
        "progress",
        "collector",
        "directories",
        "openat2",
        "early_signals",
        "isolation",
        "redaction_marker",
        "json_documents",
        "byte_count",
        "json_size",
        "rotation",
        "line_types",
    },
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
"""The parts, low to high. A part may import itself and what stands in a line above its own; the
parts of the foundation (second line) may import each other.
"""

FOUNDATION = LAYERS[1]
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "core", "common"}

HOMES = {
    "awscrt": {"tracesidecar.sinks.object_store.s3.checksums"},
    "azure": {"tracesidecar.sinks.object_store.azure.client"},
    "boto3": {"tracesidecar.sinks.object_store.s3.bucket"},
    "botocore": {"tracesidecar.sinks.object_store.s3.bucket"},
    "confluent_kafka": {"tracesidecar.sinks.kafka.client"},
    "hyperscan": {"tracesidecar.sanitize"},
    "re2": {"tracesidecar.sanitize"},
    "watchdog": {
        "tracesidecar.tail.discovery.inotify",
        "tracesidecar.tail.discovery.watcher",
    },
    "prometheus_client": {"tracesidecar.metrics"},
    "aiohttp": {"tracesidecar.sinks.transport.http_client"},
    "opentelemetry": {"tracesidecar.encode.otlp_request"},
    "google": {
        "tracesidecar.encode.otlp_request",
        "tracesidecar.sinks.object_store.gcs.client",
        "tracesidecar.sinks.object_store.gcs.credentials",
    },
    "google_crc32c": {"tracesidecar.sinks.object_store.gcs.client"},
    "requests": {
        "tracesidecar.sinks.object_store.azure.client",
        "tracesidecar.sinks.object_store.gcs.client",
    },
    "pyrage": {"tracesidecar.journal.sealing"},
    "rich": {"tracesidecar.cli"},
    "pyarrow": {"tracesidecar.encode.parquet", "tracesidecar.lake"},
    "duckdb": {
        "tracesidecar.ddl.apply",
        "tracesidecar.sinks.sql.duckdb",
        "tracesidecar.sinks.sql.errors",
    },
    "psycopg": {
        "tracesidecar.ddl.apply",
        "tracesidecar.sinks.sql.errors",
        "tracesidecar.sinks.sql.postgres",
        "tracesidecar.sinks.sql.postgres_connection",
    },
    "tomli": {"tracesidecar.config", "tracesidecar.sanitize"},
}
"""Where a third-party package may be imported: in that module, or in that part."""

DECODERS = ("tracesidecar.config.", "tracesidecar.sinks.object_store.s3.bucket:")
"""Where what comes from outside has no type yet: the configuration, and the responses of an SDK
without types.
"""


DYNAMIC_IMPORTS = {
    "tracesidecar.sinks.registry": "a destination is loaded when it is configured, and no other",
    "tracesidecar.dialects.registry": "a dialect is loaded when its format is met",
    "tracesidecar.cli": "a command loads its own module, so that `--help` is quick",
}
"""Modules that import by a computed name, with the reason."""

OTHER_COPIES = {
    "tracesidecar.batch.builder: last": "a described range of a batch",
    "tracesidecar.cli.commands.ddl: lake": "a Lake, of the options that were given",
    "tracesidecar.deliver.bisect: batch": "a Batch; its `lines` are a count",
    "tracesidecar.encode.content: event": "an Event with the columns of a level",
    "tracesidecar.pipeline.successors: each": "LostBytes: what is lost after a place",
    "tracesidecar.encode.limit: event": "an Event with shortened texts",
    "tracesidecar.pipeline.salvage: plan": "a Plan of what is left",
    "tracesidecar.pipeline.salvage: whole": "a described range of a batch",
    "tracesidecar.pipeline.salvage_records: plan": "a Plan of what is left",
}
"""Copies with changes to fields that a CleanChunk has as well, by module and value, with what they
copy. All are structs of msgspec or other classes; none holds a CleanChunk.
"""

HOLDERS = {
    "ReplayedChunk": "what is delivered again; a plain dataclass that no decoder names",
    "_Job": "a chunk that is being cleaned in another thread, until the result is there",
}
"""Classes with a CleanChunk in a field, outside of `sanitize`."""

COLUMNS = "an Event's columns by name: the format or mapping is a table of them"
OPTIONS = "the keys of options, by their declaration"
SYSTEM = "a call of the system that Python has not"

REFLECTION = {
    "tracesidecar.tail.options: self": "each limit of a source, to compare it with 1",
    "tracesidecar.batch.builder: last": "the counts of a described range, by name",
    "tracesidecar.batch.builder: new": "the counts of a described range, by name",
    "tracesidecar.cli.private_memory: import ctypes": SYSTEM,
    "tracesidecar.collector: import gc": "to collect, and to wait with it",
    "tracesidecar.config.messages: meta": "the limits of an option, by their names in msgspec",
    "tracesidecar.daemon.reload: new.daemon": OPTIONS,
    "tracesidecar.daemon.reload: old.daemon": OPTIONS,
    "tracesidecar.dialects.field_map: event": COLUMNS,
    "tracesidecar.dialects.field_map: get_type_hints(Event)": "the types of an Event's columns",
    "tracesidecar.dialects.otel.genai: event": COLUMNS,
    "tracesidecar.dialects.otel.otlp_records: event": COLUMNS,
    "tracesidecar.dialects.truncate: attrgetter": COLUMNS,
    "tracesidecar.dialects.truncate: event": COLUMNS,
    "tracesidecar.dialects.truncate: state": "the fields of a mapper's state, by their declaration",
    "tracesidecar.encode.cef: event": COLUMNS,
    "tracesidecar.encode.content: attrgetter": COLUMNS,
    "tracesidecar.encode.content: event": COLUMNS,
    "tracesidecar.encode.content: forms": "the form of a column at a content level",
    "tracesidecar.encode.content: own": COLUMNS,
    "tracesidecar.encode.ecs: attrgetter": COLUMNS,
    "tracesidecar.encode.formats: event": "a parameter with the name of the module",
    "tracesidecar.encode.leef: event": COLUMNS,
    "tracesidecar.encode.limit: event": COLUMNS,
    "tracesidecar.encode.ocsf: event": COLUMNS,
    "tracesidecar.encode.otlp: event": COLUMNS,
    "tracesidecar.journal.records: packed": "the fields of a record that have no column",
    "tracesidecar.masking: options": OPTIONS,
    "tracesidecar.openat2: import ctypes": SYSTEM,
    "tracesidecar.sanitize.engine.compile_database: tracesidecar": "where a child finds it",
    "tracesidecar.sinks.directory.atomic_files: import ctypes": SYSTEM,
    "tracesidecar.sinks.object_store.azure.options: self": OPTIONS,
    "tracesidecar.sinks.object_store.s3.bucket: self._client()": "an operation of the SDK",
    "tracesidecar.sinks.sink: options": OPTIONS,
    "tracesidecar.sinks.sql.turns: call": COLUMNS,
    "tracesidecar.sinks.transport.syslog_message: self": OPTIONS,
}
"""Where a name is computed or something is made past its class, by module and value, with what the
value is. No value is a module that is imported, or a CleanChunk.
"""


def test_every_part_has_its_layer() -> None:
    tree = tracesidecar()
    assert {tree.part(module) for module in tree.modules} == set.union(*LAYERS)


def test_imports_point_one_way() -> None:
    tree = tracesidecar()
    assert not import_rules.against_the_layers(tree, LAYERS, FOUNDATION)
    assert len(tree.own_imports) > 1000


def test_no_imports_form_a_circle() -> None:
    assert not import_rules.circles(tracesidecar())


def test_a_destination_imports_the_contract_its_own_folder_and_the_transport() -> None:
    tree = tracesidecar()
    assert len(import_rules.destinations(tree)) > 10
    assert not import_rules.foreign_destinations(tree)


def test_only_sanitize_makes_a_clean_chunk() -> None:
    assert not import_rules.clean_chunks_made_outside_sanitize(
        tracesidecar(), OTHER_COPIES, HOLDERS
    )


def test_names_are_computed_only_where_a_reason_says_of_what() -> None:
    assert not reflection_rules.reflection(tracesidecar(), REFLECTION)


def test_every_module_that_is_imported_can_be_read_from_the_source() -> None:
    assert not import_rules.dynamic_imports(tracesidecar(), DYNAMIC_IMPORTS)


@pytest.mark.long
def test_every_exception_is_still_needed() -> None:
    tree = tracesidecar()
    dynamic = {found.partition(":")[0] for found in import_rules.dynamic_imports(tree, ())}
    assert dynamic == set(DYNAMIC_IMPORTS)
    for known in OTHER_COPIES:
        others = OTHER_COPIES.keys() - {known}
        assert import_rules.clean_chunks_made_outside_sanitize(tree, others, HOLDERS), known
    for known in HOLDERS:
        holders = HOLDERS.keys() - {known}
        assert import_rules.clean_chunks_made_outside_sanitize(tree, OTHER_COPIES, holders), known
    for known in REFLECTION:
        module, others = known.partition(":")[0], REFLECTION.keys() - {known}
        assert reflection_rules.reflection(tree, others, [module]), known


@pytest.mark.parametrize("package", HOMES)
def test_a_client_of_the_outside_world_has_one_home(package: str) -> None:
    assert not import_rules.imports_away_from_home(tracesidecar(), package, HOMES[package])


def test_nothing_is_called_utils() -> None:
    assert not [
        name
        for name in tracesidecar().modules
        if FORBIDDEN_NAMES & set(name.split(".")[-1].split("_"))
    ]


def test_any_stays_where_something_is_decoded() -> None:
    loose = [
        f"{name}:{node.lineno}"
        for name, nodes in tracesidecar().nodes.items()
        for node in nodes
        if isinstance(node, ast.Subscript) and ast.unparse(node).lower().startswith("dict[str, any")
    ]
    assert not [place for place in loose if not place.startswith(DECODERS)]


def test_no_error_is_swallowed_and_every_task_belongs_to_a_group() -> None:
    found = []
    for name, nodes in tracesidecar().nodes.items():
        for node in nodes:
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


def test_what_speaks_and_what_reads_answers_has_one_name_in_every_destination() -> None:
    """These are `client` and `responses`, whatever the protocol calls them."""
    tree = tracesidecar()
    assert not [
        module
        for module in tree.modules
        if module.rpartition(".")[0] in import_rules.destinations(tree)
        and module.rpartition(".")[2].rpartition("_")[2] in {"session", "response", "answers"}
    ]
