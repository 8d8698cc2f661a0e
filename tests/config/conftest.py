"""A folder with one configuration file in it, loaded as the program would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracesidecar.config.load import ConfigurationReport, LoadedConfiguration, inspect, load


class Folder:
    """Writes `tracesidecar.toml` into a folder of its own and loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "tracesidecar.toml"
        self.environ = {"HOME": str(path / "home")}

    def write(self, text: str) -> Path:
        """Write the configuration file; return its path."""
        self.file.write_text(text, encoding="utf-8")
        return self.file

    def inspect(self, text: str) -> ConfigurationReport:
        """Find every mistake of a text."""
        return inspect(str(self.write(text)), self.environ)

    def load(self, text: str) -> LoadedConfiguration:
        """Load a text, or raise its first mistake."""
        return load(str(self.write(text)), self.environ)

    def mistakes(self, text: str) -> list[str]:
        """The problems, without the file's name: `line: key: sentence`."""
        return [
            str(problem).removeprefix(f"{self.file}:") for problem in self.inspect(text).problems
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return an empty folder for a configuration file."""
    return Folder(tmp_path)


GOOD = """\
state_directory = "state"

[[source]]
name = "agent"
include = ["traces/**/*.jsonl"]

[[sink]]
name = "lake"
type = "directory"
path = "lake"
"""


@pytest.fixture
def good() -> str:
    """A configuration without a mistake; its lines 1, 4, 5, 8, 9 and 10 hold the keys."""
    return GOOD
