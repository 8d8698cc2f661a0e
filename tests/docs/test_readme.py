"""What the README says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tracesidecar.cli import COMMANDS
from tracesidecar.config.load import load
from tracesidecar.sanitize import RejectionReason
from tracesidecar.sinks.registry import SINK_PACKAGES, sink_type

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")


def rejections() -> str:
    rows = "\n".join(f"| `{reason.value}` | {reason.meaning} |" for reason in RejectionReason)
    return f"| reason | meaning |\n|---|---|\n{rows}\n"


def test_the_table_of_rejected_lines_is_the_codes_own() -> None:
    [shown] = re.findall(r"<!-- rejections -->\n(.*?)<!-- /rejections -->", README, re.DOTALL)
    assert shown == rejections(), f"put this between the marks:\n{rejections()}"


def test_every_command_is_named() -> None:
    section = README.partition("## Commands")[2].partition("##")[0]
    assert {name for name in COMMANDS if f"`{name}" not in section} == set()


def test_every_sink_is_named_with_its_promise() -> None:
    section = README.partition("## Destinations")[2].partition("##")[0]
    assert [
        name
        for name in SINK_PACKAGES
        if not re.search(rf"\| `{name}`[^|]*\| {sink_type(name).promise} \|", section)
    ] == []


def test_the_shortest_configuration_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [block] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "tracesidecar.toml"
    path.write_text(block)
    loaded = load(str(path), {"HOME": str(tmp_path)})
    assert [sink.type for sink in loaded.configuration.sink] == ["s3"]
