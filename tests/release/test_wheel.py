"""Whoever builds the wheel of a commit gets the same bytes; and it has the program alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "tracesidecar")


def checkout(folder: Path, *, mode: int, modified: float, order: int) -> Path:
    """A checkout as another machine has it: its umask, its times, the order of its directories."""
    folder.mkdir()
    for name in SOURCES[::order]:
        if (PROJECT / name).is_dir():
            shutil.copytree(
                PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copyfile(PROJECT / name, folder / name)
    for path in sorted(folder.rglob("*"))[::order]:
        path.chmod(mode | 0o111 if path.is_dir() else mode)
        os.utime(path, (modified, modified))
    return folder


def build(folder: Path, **environment: str) -> Path:
    """Build as `make wheel` does."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=folder,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000", **environment},
        check=True,
        capture_output=True,
    )
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel of two machines that have nothing in common but the commit."""
    folder = tmp_path_factory.mktemp("wheels")
    here = checkout(folder / "here", mode=0o644, modified=1.6e9, order=1)
    there = checkout(folder / "elsewhere with a space", mode=0o600, modified=1.7e9, order=-1)
    cache = there / "tracesidecar" / "__pycache__"
    cache.mkdir()
    (cache / "model.cpython-311.pyc").write_bytes(b"left by a run")
    return build(here), build(there, TZ="Pacific/Kiritimati", LC_ALL="C", PYTHONHASHSEED="7")


def test_two_builds_are_equal_byte_by_byte(wheels: tuple[Path, Path]) -> None:
    one, other = wheels
    assert one.name == other.name
    assert sha256(one.read_bytes()).hexdigest() == sha256(other.read_bytes()).hexdigest()


def test_the_wheel_has_the_program_its_licence_and_nothing_else(wheels: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = wheel.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"tracesidecar"}
    assert [name for name in names if name.endswith(".pyc")] == []
    assert [name for name in names if name.endswith("/licenses/LICENSE")] != []
