"""config.example.toml shows every option there is, and each of its blocks can be loaded."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import msgspec
import pytest
import tomli

from tests.config.conftest import Folder
from tracesidecar.cli.commands.init import configuration_text
from tracesidecar.config.schema import Configuration
from tracesidecar.errors import ConfigurationError
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import SINK_PACKAGES, sink_type

EXAMPLE = (Path(__file__).resolve().parents[2] / "config.example.toml").read_text(encoding="utf-8")
OPTION = re.compile(r"^#(?=[a-z_]+ = |\[)", re.MULTILINE)
"""A commented option or block header; prose has a blank behind its #."""

COMMENTED = [block.split("\n\n")[0] for block in re.split(r"\n\n(?=#\[\[)", EXAMPLE)[1:]]


def name_of(block: str) -> str:
    found = re.search(r'(?:name|id|input) = "?([^"]*)', block)
    return found.group(1) if found else block


@pytest.fixture
def example(folder: Folder) -> Folder:
    """A folder that has the credential files and variables that the example names."""
    for name in re.findall(r"/etc/tracesidecar/([a-z.-]+)", EXAMPLE):
        (folder.path / name).write_text("x")
    folder.environ |= dict.fromkeys(re.findall(r"\$\{env:([A-Z_]+)", EXAMPLE), "x")
    return folder


def load(example: Folder, text: str) -> Configuration:
    return example.load(text.replace("/etc/tracesidecar/", f"{example.path}/")).configuration


def test_the_example_loads_as_it_stands(example: Folder) -> None:
    assert [sink.name for sink in load(example, EXAMPLE).sink] == ["lake"]


@pytest.mark.parametrize("block", COMMENTED, ids=map(name_of, COMMENTED))
def test_each_commented_block_loads(example: Folder, block: str) -> None:
    load(example, f"{EXAMPLE}\n{OPTION.sub('', block)}")


def test_the_example_loads_with_all_options_switched_on(example: Folder) -> None:
    assert {sink.type for sink in load(example, OPTION.sub("", EXAMPLE)).sink} == set(SINK_PACKAGES)


def test_every_option_stands_in_the_example() -> None:
    shown = keys(tomli.loads(OPTION.sub("", EXAMPLE)))
    expected = {key for key in options(Configuration) if not key.startswith("sink")}
    expected |= {
        f"sink.{key}" for name in SINK_PACKAGES for key in options(sink_type(name).options)
    }
    said_in_prose = set(re.findall(r"# or ([a-z_]+_file)", EXAMPLE))
    missing = {key for key in expected - shown if key.rpartition(".")[2] not in said_in_prose}
    assert missing == set()


def test_the_defaults_that_the_example_shows_are_the_defaults(example: Folder) -> None:
    """A commented option shows its default, except where it has none worth showing (a list, a
    secret, a place).
    """
    plain, full = load(example, EXAMPLE), load(example, OPTION.sub("", EXAMPLE))
    assert plain.daemon == full.daemon
    lake, full_lake = plain.sink[0], full.sink[0]
    for key in ("format", "compression", "batch", "required", "directory_mode", "file_mode"):
        assert getattr(lake, key) == getattr(full_lake, key), key
    for key in ("dialect", "max_line", "repair", "copy_grace", "protect"):
        assert getattr(plain.source[0], key) == getattr(full.source[0], key), key


def test_sinks_for_detections_are_shown_with_what_ran(example: Folder) -> None:
    """A SIEM that gets `metadata` cannot detect a command: its default says what ran to nobody."""
    shown = load(example, OPTION.sub("", EXAMPLE)).sink
    siems = {"syslog", "relp", "elasticsearch", "splunk", "datadog"}
    assert {sink.type for sink in shown} >= siems
    assert {sink.content for sink in shown if sink.type in siems} == {"actions"}


def test_init_writes_what_ran_for_a_siem(example: Folder) -> None:
    written = configuration_text(str(example.path))
    block = written[written.index('# [[sink]]\n# name = "siem"') :]
    sink = load(example, written + re.sub(r"^# ", "", block, flags=re.MULTILINE)).sink[-1]
    assert (sink.type, sink.format, sink.content) == ("syslog", "cef", "actions")


@pytest.mark.parametrize("content", ["actions", "metadata"])
def test_raw_lines_with_less_than_all_are_rejected(example: Folder, content: str) -> None:
    with pytest.raises(ConfigurationError, match=f'content = "{content}" would leave nothing'):
        load(example, EXAMPLE.replace('#content = "full"', f'content = "{content}"', 1))


def options(kind: type[msgspec.Struct], path: str = "") -> set[str]:
    """Every key that a struct takes, those of structs within it included."""
    found = set()
    for field in msgspec.structs.fields(kind):
        key = f"{path}{field.encode_name}"
        found |= {key}.union(
            *(
                options(inner, f"{key}.")
                for inner in structs(field.type)
                if inner is not SinkOptions
            )
        )
    return found


def structs(kind: object) -> list[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [found for part in typing.get_args(kind) for found in structs(part)]


def keys(document: object, path: str = "") -> set[str]:
    if isinstance(document, list):
        return set().union(*(keys(item, path) for item in document))
    if not isinstance(document, dict):
        return set()
    return set().union(
        *({f"{path}{key}"} | keys(value, f"{path}{key}.") for key, value in document.items())
    )
