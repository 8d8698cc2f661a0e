"""Each rule of `import_rules.py` catches what breaks it, shown on small made-up packages."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.hygiene import import_rules, reflection_rules
from tests.hygiene.source_tree import SourceTree

LAYERS = ({"__init__"}, {"model", "errors"}, {"tail", "sanitize"}, {"sinks"}, {"cli"})
FOUNDATION = {"model", "errors"}
CONTRACT = {
    "sinks/sink.py": "",
    "sinks/options.py": "",
    "sinks/registry.py": "",
    "sinks/transport/tls.py": "",
    "sinks/loki/sink.py": "",
    "sinks/splunk/sink.py": "",
    "sinks/splunk/responses.py": "",
    "sinks/object_store/sink.py": "",
    "sinks/object_store/errors.py": "",
    "sinks/object_store/s3/sink.py": "",
    "sinks/object_store/s3/client.py": "",
    "sinks/object_store/gcs/sink.py": "",
    "sinks/object_store/gcs/credentials.py": "",
}


CLASS = "class CleanChunk:\n    data: bytes\n    lines: int\n"


def write_package(folder: Path, files: dict[str, str]) -> SourceTree:
    """Write a package `made` with these files, and an `__init__` in each of its folders."""
    root = folder / "made"
    root.mkdir()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    for path in [root, *(inner for inner in root.rglob("*") if inner.is_dir())]:
        (path / "__init__.py").touch()
    return SourceTree(root)


@pytest.mark.parametrize(
    "text",
    [
        "import made.cli",
        "from made import cli",
        "from made.cli import run",
        "from ..cli import run",
        "def later():\n    from made.cli import run",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.cli import run",
        "import importlib\nrun = importlib.import_module('made.cli.run')",
        "import importlib\nrun = importlib.import_module(name='made.cli.run')",
        "import importlib\nrun = importlib.import_module('..cli.run', __package__)",
        "import importlib\nrun = importlib.import_module('..cli.run', package=__package__)",
        "from importlib import import_module as load\nrun = load('made.cli.run')",
        "run = __import__('made.cli.run')",
        "import made\nmade.cli.run.main()",
        "import made as m\nmain = m.cli.run.main",
    ],
)
def test_a_lower_part_that_imports_a_higher_one_is_found(tmp_path: Path, text: str) -> None:
    tree = write_package(tmp_path, {"cli/run.py": "", "tail/tailer.py": text})
    [found] = import_rules.against_the_layers(tree, LAYERS, FOUNDATION)
    assert found.startswith("made.tail.tailer:")


def test_parts_of_one_layer_may_not_import_each_other_but_those_of_the_foundation_may(
    tmp_path: Path,
) -> None:
    tree = write_package(
        tmp_path,
        {
            "errors.py": "",
            "model.py": "import made.errors",
            "sanitize/sanitizer.py": "",
            "tail/tailer.py": "import made.model\nimport made.sanitize.sanitizer",
        },
    )
    assert import_rules.against_the_layers(tree, LAYERS, FOUNDATION) == [
        "made.tail.tailer:2 imports made.sanitize.sanitizer"
    ]


@pytest.mark.parametrize(
    "back",
    [
        "import made.tail.a",
        "from made.tail.a import x",
        "def later():\n    from made.tail.a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.tail import a",
        "import made\ndef later(): return made.tail.a.x",
        "def later(): return __import__('made.tail.a')",
        "import importlib\ndef later(): return importlib.import_module('.a', __package__)",
    ],
)
def test_a_circle_is_found_over_any_number_of_modules(tmp_path: Path, back: str) -> None:
    tree = write_package(
        tmp_path,
        {
            "tail/a.py": "from made.tail import b",
            "tail/b.py": "from made.tail import c",
            "tail/c.py": back,
            "tail/d.py": "from made.tail import a",
        },
    )
    assert import_rules.circles(tree) == ["made.tail.a, made.tail.b, made.tail.c"]


def test_a_module_that_goes_through_the_face_of_its_own_package_is_in_a_circle(
    tmp_path: Path,
) -> None:
    tree = write_package(
        tmp_path,
        {
            "tail/__init__.py": "from made.tail.a import A",
            "tail/a.py": "A = 1",
            "tail/b.py": "from made.tail.a import A",
        },
    )
    assert import_rules.circles(tree) == []
    (tree.root / "tail" / "a.py").write_text("from made.tail import B")
    assert import_rules.circles(SourceTree(tree.root)) == ["made.tail, made.tail.a"]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("sinks/loki/sink.py", "from made.sinks.splunk.responses import x"),
        ("sinks/loki/sink.py", "from made.sinks.splunk import sink"),
        ("sinks/loki/sink.py", "from ..splunk import sink"),
        ("sinks/loki/sink.py", "import made.sinks.splunk"),
        ("sinks/loki/sink.py", "def later():\n    import made.sinks.splunk.sink"),
        ("sinks/loki/new/deep.py", "import made.sinks.splunk.sink"),
        ("sinks/loki/sink.py", "import made.sinks.object_store.errors"),
        ("sinks/loki/sink.py", "import made.sinks.object_store.s3.client"),
        ("sinks/loki/sink.py", "import made.sinks.registry"),
        ("sinks/loki/sink.py", "from made import sinks"),
        ("sinks/loki/sink.py", "import made\nx = made.sinks.splunk.responses.x"),
        ("sinks/loki/sink.py", "import made.sinks.sink\nx = made.sinks.splunk.responses.x"),
        ("sinks/loki/sink.py", "__import__('made.sinks.splunk')"),
        (
            "sinks/loki/sink.py",
            "import importlib\nimportlib.import_module('..splunk', __package__)",
        ),
        ("sinks/loki/sink.py", "from importlib import import_module as f\nf('made.sinks.splunk')"),
        (
            "sinks/loki/sink.py",
            "import importlib\nimportlib.import_module(name='made.sinks.splunk')",
        ),
        ("sinks/object_store/s3/client.py", "import made.sinks.object_store.gcs.credentials"),
        ("sinks/object_store/s3/client.py", "import made.sinks.loki.sink"),
        ("sinks/object_store/errors.py", "import made.sinks.object_store.s3.client"),
        ("sinks/transport/tls.py", "import made.sinks.loki.sink"),
        ("sinks/sink.py", "import made.sinks.loki.sink"),
        ("sinks/brand_new/sink.py", "import made.sinks.splunk.responses"),
    ],
)
def test_an_import_of_another_destination_is_found(tmp_path: Path, module: str, text: str) -> None:
    [found] = import_rules.foreign_destinations(write_package(tmp_path, CONTRACT | {module: text}))
    assert found.startswith(f"made.{module.removesuffix('.py').replace('/', '.')}:")


def test_a_destination_may_import_the_contract_the_transport_its_own_folder_and_lower_parts(
    tmp_path: Path,
) -> None:
    allowed = """
        import made.model
        from made.encode.json_fields import x
        from made.sinks.options import SinkOptions
        from made.sinks.sink import Sink
        from made.sinks.transport import tls
    """
    store = "\nfrom made.sinks.object_store import sink\nimport made.sinks.object_store.s3.client"
    tree = write_package(
        tmp_path,
        CONTRACT
        | {
            "model.py": "",
            "encode/json_fields.py": "",
            "sinks/splunk/sink.py": dedent(allowed) + "import made.sinks.splunk.responses",
            "sinks/object_store/s3/sink.py": dedent(allowed) + store,
            "sinks/registry.py": "import made.sinks.sink",
        },
    )
    assert import_rules.foreign_destinations(tree) == []
    assert import_rules.destinations(tree) == {
        "made.sinks.loki",
        "made.sinks.splunk",
        "made.sinks.object_store.s3",
        "made.sinks.object_store.gcs",
    }


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\nimportlib.import_module('made.sinks.' + 'splunk')",
        "import importlib\nimportlib.import_module(f'made.sinks.{name}')",
        "import importlib\nNAME = 'made.sinks.splunk'\nimportlib.import_module(NAME)",
        "import importlib\nimportlib.import_module(name=NAME)",
        "import importlib\nimportlib.import_module('..splunk', 'made.sinks.loki')",
        "import importlib\nload = importlib.import_module\nload('made.sinks.splunk')",
        "import importlib\ngetattr(importlib, 'import_module')('made.sinks.splunk')",
        "from importlib import import_module as load\nload(NAME)",
        "from importlib import import_module as load\nlist(map(load, NAMES))",
        "__import__(NAME)",
        "__import__('made.sinks', fromlist=['splunk'])",
        "import builtins\nload = builtins.__import__",
        "import sys\nsys.modules['made.sinks.splunk']",
        "import sys\nfound = sys.modules.get('made.sinks.splunk')",
        "from sys import modules\nmodules['made.sinks.splunk']",
        "import pkgutil\npkgutil.resolve_name('made.sinks.splunk')",
        "from pkgutil import resolve_name as find\nfind('made.sinks.splunk')",
        "import runpy\nrunpy.run_module('made.sinks.splunk')",
        "from runpy import run_module",
        "from importlib.util import module_from_spec as make",
        "import importlib.util\nimportlib.util.module_from_spec(spec)",
        "exec('import made.sinks.splunk')",
    ],
)
def test_an_import_whose_module_cannot_be_read_is_found(tmp_path: Path, text: str) -> None:
    tree = write_package(tmp_path, CONTRACT | {"sinks/loki/sink.py": text})
    found = import_rules.dynamic_imports(tree, ())
    assert found
    assert all(place.startswith("made.sinks.loki.sink:") for place in found)
    assert import_rules.dynamic_imports(tree, {"made.sinks.loki.sink"}) == []


def test_an_import_with_a_literal_name_is_no_finding(tmp_path: Path) -> None:
    text = """
        import importlib
        from importlib import resources, metadata
        importlib.import_module("made.sinks.sink")
        importlib.import_module(".responses", __package__)
        importlib.import_module(name="json")
        found = importlib.util.find_spec("pyarrow")
        modules = tree.modules
        config.reload()
    """
    tree = write_package(tmp_path, CONTRACT | {"sinks/loki/sink.py": text})
    assert import_rules.dynamic_imports(tree, ()) == []


@pytest.mark.parametrize(
    "text",
    [
        "from made.model import CleanChunk\nmade = CleanChunk(b'secret')",
        "from made.model import CleanChunk as C\nmade = C(b'secret')",
        "from made.tail import CleanChunk\nmade = CleanChunk(b'secret')",
        "import made.model as m\nmade = m.CleanChunk(b'secret')",
        "import made.model\nmade = made.model.CleanChunk(b'secret')",
        "from made import model\nmade = model.CleanChunk(b'secret')",
        "def later():\n    from made.model import CleanChunk\n    return CleanChunk(b'secret')",
        "from made.model import CleanChunk\nmade = CleanChunk.__new__(CleanChunk)",
        "from made.model import CleanChunk\nmade = map(CleanChunk, [b'secret'])",
        "from made.model import CleanChunk\nMake = CleanChunk",
        "from made.model import CleanChunk\nclass Mine(CleanChunk): ...",
        "from made.model import CleanChunk\nx = table[CleanChunk(b'secret')]",
        "from dataclasses import replace\ndef f(c: CleanChunk): return replace(c, data=b'secret')",
        "from dataclasses import replace as r\ndef f(c: CleanChunk): return r(c, data=b'secret')",
        "import dataclasses\ndef f(c: 'CleanChunk'): return dataclasses.replace(c, data=b'')",
        "import copy\ndef f(c: CleanChunk | None): return copy.replace(c, data=b'secret')",
        "import copy\nc: CleanChunk = g()\nd = copy.copy(c)",
        "def f(c: CleanChunk): return c.__replace__(data=b'secret')",
        "def f(c: CleanChunk): return c.__class__(data=b'secret')",
        "def f(c: CleanChunk): return type(c)(data=b'secret')",
        "import copy\nclass P:\n    clean: CleanChunk\nq = copy.replace(p.clean, data=b'secret')",
        "import copy\ndef f(c): return copy.replace(c, data=b'secret')",
        "from dataclasses import replace\ndef f(c): return replace(c, data=b'secret')",
        "import msgspec\ndef f(c): return msgspec.structs.replace(c, data=b'secret')",
        "import copy\ndef f(all): return [copy.replace(c, data=b'secret') for c in all]",
        "import copy\nd = copy.replace(read(), data=b'secret')",
        "import copy\nd = copy.replace(cache[0], data=b'secret')",
        "import copy\nd = copy.replace(c, **{'data': b'secret'})",
        "import copy\nf = copy.replace\nd = f(c, data=b'secret')",
        "from copy import replace\nf = replace\nd = f(c, data=b'secret')",
        "from functools import partial\nfrom copy import replace\nf = partial(replace, data=b'')",
        "from copy import replace as r\nd = r(c, data=b'secret')",
        "from made.model import CleanChunk\nmatch x:\n    case CleanChunk() as d: pass",
        "from made.model import CleanChunk\nd = msgspec.convert(x, list[CleanChunk])",
        "from made.model import CleanChunk\nd = Annotated[CleanChunk, 1](b'secret')",
        "def f(c): return type(c)(b'secret')",
        "def f(c):\n    kind = type(c)\n    return kind(b'secret')",
        "def f(c): return c.__class__(b'secret')",
        "def f(c): return object.__new__(type(c))",
        "def f(c): return c.__replace__(data=b'secret')",
        "def f(kind: type[CleanChunk]): return kind(b'secret')",
        "def f(kind: 'type[CleanChunk]'): return kind(b'secret')",
        "def f(kind: type[CleanChunk] | None): return kind(b'secret')",
        "Kind: TypeAlias = CleanChunk",
        "import made.model as m\nd = getattr(m, 'CleanChunk')(b'secret')",
        "import made.model as m\nd = vars(m)['CleanChunk'](b'secret')",
        "def f(c): object.__setattr__(c, 'data', b'secret')",
        "put = object.__setattr__",
        "from made.model import CleanChunk\nd = cast(CleanChunk, x)",
        "class P(msgspec.Struct):\n    clean: CleanChunk\np = msgspec.json.decode(b, type=P)",
        "@dataclass\nclass P:\n    clean: 'list[CleanChunk]'\np = msgspec.convert(x, P)",
        "class P(TypedDict):\n    clean: CleanChunk | None",
        "class P(NamedTuple):\n    clean: CleanChunk",
        "class Known(msgspec.Struct):\n    clean: CleanChunk",
        "@dataclass\nclass Known:\n    clean: CleanChunk\nd = msgspec.json.Decoder(Known)",
        "d = msgspec.json.decode(b, type=dict[str, Known])",
        "@dataclass\nclass More:\n    known: Known",
        "if isinstance(x, K := CleanChunk): d = K(b'secret')",
        "if isinstance(x, (int, [K := CleanChunk][0])): d = K(b'secret')",
        "isinstance(x, f(CleanChunk))",
    ],
)
def test_a_clean_chunk_that_is_made_outside_sanitize_is_found(tmp_path: Path, text: str) -> None:
    tree = write_package(tmp_path, {"model.py": CLASS, "tail/__init__.py": "", "cli/run.py": text})
    found = import_rules.clean_chunks_made_outside_sanitize(tree, holders={"Known"})
    assert found
    assert all(place.startswith("made.cli.run:") for place in found)


def test_sanitize_makes_clean_chunks_and_others_name_the_type(tmp_path: Path) -> None:
    tree = write_package(
        tmp_path,
        {
            "model.py": CLASS,
            "sanitize/sanitizer.py": """
                from made.model import CleanChunk
                def sanitize(data): return CleanChunk(data)
            """,
            "cli/run.py": """
                from dataclasses import replace
                from made.model import CleanChunk
                __all__ = ["CleanChunk"]
                def run(clean: CleanChunk, others: list[CleanChunk]) -> CleanChunk | None:
                    first: CleanChunk = others[0]
                    plan = replace(clean.plan, id=1)
                    batch = replace(plan.batch, lines=2)
                    name = type(first).__name__
                    maker = MAKERS[type(plan)]
                    text = first.data.replace(b"a", b"b")
                    return first if isinstance(first, CleanChunk) else None
                @dataclass
                class Known:
                    clean: CleanChunk
                def more(known: Known) -> bool:
                    other = Known(known.clean)
                    return isinstance(other, CleanChunk | Known) or isinstance(x, (int, Known))
            """,
        },
    )
    known = {"made.cli.run: plan.batch"}
    assert import_rules.clean_chunks_made_outside_sanitize(tree, known, {"Known"}) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle\npickle.loads(b)",
        "from pickle import loads",
        "import marshal as m",
        "import ctypes",
        "import inspect",
        "import typing\nd = typing.get_type_hints(f)['c'](b'secret')",
        "from typing import get_type_hints as hints",
        "d = f.__annotations__['c'](b'secret')",
        "d = annotationlib.get_annotations(f)",
        "setattr(c, 'data', b'secret')",
        "put = setattr",
        "delattr(c, 'data')",
        "getattr(m, 'Clean' + 'Chunk')",
        "getattr(c, name)",
        "builtins.getattr(c, name)",
        "getattr(c, '__class__')",
        "list(map(getattr, all, names))",
        "from operator import attrgetter\nattrgetter(name)(c)",
        "from operator import methodcaller\nmethodcaller(name)(c)",
        "from operator import attrgetter as a",
        "vars(c)['data'] = b'secret'",
        "c.__dict__['data'] = b'secret'",
        "globals()['Clean' + 'Chunk']",
        "compile(text, '', 'exec')",
        "import made\nx = getattr(getattr(made, 'sinks'), 'splunk')",
        "import made.sinks.sink as s\nx = s",
        "from made import sinks\nf(sinks)",
        "import made\nf(made.sinks)",
        "import importlib\nx = importlib.import_module('made.sinks')",
        "import importlib\nx = importlib.import_module('made').sinks",
    ],
)
def test_what_is_reached_by_a_computed_name_or_made_of_bytes_is_found(
    tmp_path: Path, text: str
) -> None:
    tree = write_package(tmp_path, CONTRACT | {"sinks/loki/sink.py": text})
    found = reflection_rules.reflection(tree)
    assert found
    assert all(place.startswith("made.sinks.loki.sink:") for place in found)


def test_a_literal_name_and_a_module_before_a_dot_are_no_finding(tmp_path: Path) -> None:
    text = """
        import importlib
        import re
        from operator import attrgetter
        from msgspec import inspect
        import made.sinks.sink
        from made.sinks import options
        importlib.import_module("made.sinks.sink")
        code = getattr(error, "errno", None)
        pattern = re.compile("x")
        key = attrgetter("ingest_time")
        sink = made.sinks.sink.Sink(options.SinkOptions())
        allowed = getattr(event, name)
        hints = get_type_hints(Event)
    """
    tree = write_package(tmp_path, CONTRACT | {"sinks/loki/sink.py": text})
    assert len(reflection_rules.reflection(tree)) == 2
    known = {"made.sinks.loki.sink: event", "made.sinks.loki.sink: get_type_hints(Event)"}
    assert reflection_rules.reflection(tree, known) == []


def test_a_client_that_is_imported_away_from_its_home_is_found(tmp_path: Path) -> None:
    tree = write_package(
        tmp_path,
        {
            "tail/watcher.py": "import watchdog.observers",
            "tail/tailer.py": "def later():\n    from watchdog.events import x",
            "cli/run.py": "import watchdogs",
        },
    )
    homes = {"made.tail.watcher"}
    assert import_rules.imports_away_from_home(tree, "watchdog", homes) == [
        "made.tail.tailer:2 imports watchdog.events x"
    ]
