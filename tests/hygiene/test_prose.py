"""Prose stays within 100 columns, in every file that people read beside the code."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
COLUMNS = 100
SETTING = re.compile(r"\s*#\s?\w+ = ")
KINDS = {".md", ".toml", ".yaml", ".yml", ".service", ".conf"}


def long_lines(lines: Iterable[str]) -> list[int]:
    """Return the numbers of lines that are too long.

    Tables, fences and lines whose last word alone makes them long (a link, a path) are exempt.
    """
    found, is_fenced = [], False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith(("```", "~~~")):
            is_fenced = not is_fenced
        is_exempt = is_fenced or line.lstrip().startswith("|") or "://" in line
        if len(line) > COLUMNS and " " in line.strip().lstrip("#*- ") and not is_exempt:
            found.append(number)
    return found


def comments(lines: Iterable[str]) -> list[str]:
    """Return the lines with what is no comment, or a setting in one (`#key = …`), emptied."""
    return [
        line if line.lstrip().startswith("#") and not SETTING.match(line) else "" for line in lines
    ]


def prose() -> list[Path]:
    """Return the files of the project that have prose and are no Python."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    paths = [PROJECT / name for name in listed if name]
    return [path for path in paths if path.suffix in KINDS or path.name == "Makefile"]


def lines_of(path: Path) -> list[str]:
    """Return the prose of a file: all of a page, and the comments of anything else."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines if path.suffix == ".md" else comments(lines)


def test_a_long_line_of_prose_is_found_and_tables_fences_and_links_are_exempt() -> None:
    long = "word " * 30
    lines = [long, f"| {long} |", "```", long, "```", f"https://example.org/{long}", "x" * 120]
    assert long_lines(lines) == [1]
    assert long_lines(comments([f"  # {long}", f"key = '{long}'"])) == [1]
    assert long_lines([f"# {long}", "é" * 50 + " " + "é" * 49]) == [1]


def test_prose_is_within_the_columns() -> None:
    found = {
        str(path.relative_to(PROJECT)): numbers
        for path in prose()
        if (numbers := long_lines(lines_of(path)))
    }
    assert not found
