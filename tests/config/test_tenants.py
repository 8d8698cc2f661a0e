"""`{source}` in the prefix of a store gives each source a sink and a prefix of its own."""

from __future__ import annotations

from tests.config.conftest import Folder
from tracesidecar.sinks.object_store.options import ObjectStoreOptions

SOURCES = """\
state_directory = "state"
[[source]]
name = "alice"
include = ["a/*.jsonl"]
[[source]]
name = "robert"
id = "bob"
include = ["b/*.jsonl"]
"""
STORE = """\
[[sink]]
name = "lake"
type = "s3"
bucket = "traces"
prefix = "tenants/{source}"
"""


def test_each_source_has_a_sink_and_a_prefix_of_its_own(folder: Folder) -> None:
    more = '[[sink]]\nname = "all"\ntype = "directory"\npath = "lake"\n'
    sinks = folder.load(SOURCES + STORE + more).configuration.sink
    assert [(sink.name, sink.sources) for sink in sinks] == [
        ("lake-alice", ("alice",)),
        ("lake-bob", ("robert",)),
        ("all", ()),
    ]
    stores = [sink for sink in sinks if isinstance(sink, ObjectStoreOptions)]
    assert [sink.key_prefix for sink in stores] == ["tenants/alice/", "tenants/bob/"]


def test_only_the_sources_of_the_sink_have_one(folder: Folder) -> None:
    sinks = folder.load(SOURCES + STORE + 'sources = ["robert"]\n').configuration.sink
    assert [sink.name for sink in sinks] == ["lake-bob"]


def test_names_that_could_mix_tenants_are_mistakes(folder: Folder) -> None:
    for name in ("a/b", "..", "a b"):
        text = SOURCES.replace("alice", name) + STORE
        (mistake,) = folder.mistakes(text)
        assert f'"{name}" cannot stand for {{source}}' in mistake
    other = STORE.replace("lake", "lake-alice").replace("{source}", "x")
    (mistake,) = folder.mistakes(SOURCES + STORE + other)
    assert 'would be named "lake-alice", as another one is' in mistake
    (mistake,) = folder.mistakes(SOURCES + STORE.replace("{source}", "{sources}"))
    assert '"{sources}" is unknown; only "{source}" can be in braces' in mistake
