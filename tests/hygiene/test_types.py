"""What stands in for the program's own classes in a test is checked as strictly as these."""

from __future__ import annotations

import re
from pathlib import Path

import tomli

PROJECT = Path(__file__).resolve().parents[2]
MYPY = tomli.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
ALLOWED_OVERRIDES = {"ignore_missing_imports", "implicit_reexport", "disallow_untyped_calls"}
"""They are about packages that have no types, not about what is written here."""

IGNORE = re.compile(r"#\s*type:\s*ignore\b")


def test_mypy_checks_every_file_strictly() -> None:
    assert MYPY["strict"]
    assert MYPY["files"] == ["tracesidecar", "tests", "bench", "release"]
    assert "exclude" not in MYPY
    for override in MYPY["overrides"]:
        assert override.keys() - {"module"} <= ALLOWED_OVERRIDES, override


def test_no_test_ignores_a_type_error() -> None:
    ignored = [
        f"{path.relative_to(PROJECT)}:{number}"
        for folder in ("tests", "bench", "release")
        for path in sorted((PROJECT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if IGNORE.search(line)
    ]
    assert ignored == []
